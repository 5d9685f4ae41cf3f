// Small help with elements: made, found, spoken, told. Text is set as text, never as markup.

export const $ = (id) => document.getElementById(id);

/** An element; `props` are its properties, with `data` and `aria` for those attributes. */
export function make(tag, { data = {}, aria = {}, ...props } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), props);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(`aria-${name}`, value);
  made.append(...children);
  return made;
}

/** Of a group of buttons the one that is on. */
export function press(group, name, value) {
  for (const button of group.querySelectorAll("button"))
    button.setAttribute("aria-pressed", button.dataset[name] === value);
}

/** Heard by those who do not see the page. */
export const aloud = (text) => void ($("aloud").textContent = text);

/** One line that stays until the next, or until it is told to go. */
export function tell(text) {
  $("message").textContent = text ?? "";
  $("message").hidden = !text;
}

/** Runs it; what goes wrong becomes a line. */
export async function trying(work) {
  try {
    tell(null);
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message || String(error));
    return null;
  }
}

/** A file that the user chooses, or null. */
export function chosenFile(accept) {
  const input = $("file");
  input.accept = accept;
  input.value = "";
  return new Promise((resolve) => {
    input.onchange = () => resolve(input.files[0] ?? null);
    input.oncancel = () => resolve(null);
    input.click();
  });
}

export function saveFile(name, blob) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** An image of a blob or an address, decoded. */
export async function imageOf(url) {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch {
    throw new Error("expected a picture (PNG, JPEG or WebP); this file cannot be shown");
  }
  return image;
}

/** A file as a data: URL in base64. */
export function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.replace(/^data:[^,]*,/, "data:application/octet-stream;base64,"));
    reader.onerror = () => reject(new Error("the file could not be read"));
    reader.readAsDataURL(blob);
  });
}

export const isPicture = (file) => /^image\/(png|jpeg|webp)$/.test(file.type);

/** Files dropped on an element; it is marked while they are above it. */
export function dropped(element, take) {
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.classList.add("over");
  });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
}
