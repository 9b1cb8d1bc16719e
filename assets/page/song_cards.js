// The example cards: native buttons.

element.addEventListener("click", (event) => {
  const card = event.target.closest("button[data-song]");
  if (card) trigger("choose_example", { song: card.dataset.song });
  if (event.target.closest(".get-tracks")) trigger("fetch_tracks");
});
