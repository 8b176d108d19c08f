// Returns what it is given.
export function echo(text) {
  return text;
}
