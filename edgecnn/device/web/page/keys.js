// Which number key gives which class, everywhere on the page and as in the window of `run`.

const DIGITS = "0123456789";
const isDigit = (name) => name.length === 1 && DIGITS.includes(name);

// {key: name}: a class that is called by a digit has that digit, so that no key gives another
// digit than its own; the others get what is left of 1 to 9, in the order in which they are shown.
// `shown` may be a part of the classes: a digit that is not shown keeps its key.
export function classKeys(labels, shown = labels) {
  const own = labels.filter(isDigit);
  const free = [..."123456789"].filter((key) => !own.includes(key));
  const keys = new Map(own.map((name) => [name, name]));
  for (const name of shown) if (!isDigit(name) && free.length) keys.set(free.shift(), name);
  return keys;
}

// Write its key on the button of a class; a name that is a digit says it already.
export function showKey(button, name, keys) {
  const key = [...keys].find(([, one]) => one === name)?.[0];
  if (!key) return;
  button.setAttribute("aria-keyshortcuts", key);
  if (key !== name) button.dataset.hint = key;
}

// The class that a pressed key gives; none while somebody types or holds it, or with Ctrl, Alt or Meta.
export function pressedClass(event, keys) {
  const typing = event.target.closest("input, select, textarea");
  return typing || event.repeat || event.ctrlKey || event.metaKey || event.altKey ? undefined : keys.get(event.key);
}
