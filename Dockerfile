# Stemscope anywhere: docker build -t stemscope . && docker run --rm -p 7860:7860 stemscope
# Downloaded models stay with: -v stemscope:/home/stemscope/.cache/separation
FROM python:3.12-slim

WORKDIR /stemscope
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt
RUN useradd --create-home stemscope \
    && install -d -o stemscope -g stemscope /home/stemscope/.cache /home/stemscope/.cache/separation

COPY . .
USER stemscope
ENV GRADIO_SERVER_NAME=0.0.0.0
EXPOSE 7860
CMD ["python", "-u", "app.py"]
