// Unnamed components under the names of the true sources that they were matched with when they were scored.

// Return the name of a group's track that is its estimate of a stem.
export function trackNameOf(group, stem) {
  return group.scores?.stems?.[stem] ?? stem;
}

// Return the names of a group's stems.
export function stemNamesOf(group) {
  const matched = new Map(Object.entries(group.scores?.stems ?? {}).map(([stem, component]) => [component, stem]));
  return group.tracks.map(({ name }) => matched.get(name) ?? name);
}
