// What a model may be asked beside the pose: fields made from the schema that the server tells, and read again.

import { $, make } from "./dom.js";

const NAMES = {
  negative_prompt: "Not in the picture",
  hand_prompt: "Hands look like",
  mu: "Share of the words beside a gesture, 0 to 1",
  guidance: "Guidance",
  hand_guidance: "Guidance of the hands",
  eta: "Eta, 0 to 1",
  blend: "How hands are kept",
  feather: "Feather, pixels",
  close_up: "Close-ups of small hands",
  armless: "Hands without an arm",
  strength: "Strength, 0 to 1",
  inpaint_steps: "Steps of the edge",
  inpaint_guidance: "Guidance of the edge",
  check: "Keep a hand that gets worse",
};
const ELSEWHERE = ["prompt", "seed", "steps", "size", "default_size", "frame", "image", "detector", "hand", "canvas"];
const SAFE = Number.MAX_SAFE_INTEGER;

const kept = {}; // what was said, by name, also where the model that is shown does not ask for it

/** The fields of a model, in the sheet and in the composer; what was said in fields of the same name stays. */
export function showFields(bundle, limits) {
  for (const input of $("fields").querySelectorAll("[name]"))
    kept[input.name] = input.type === "checkbox" ? input.checked : input.value;
  const { properties } = bundle.fields,
    defaults = bundle.settings.defaults ?? {};
  $("prompt-box").hidden = !("prompt" in properties);
  $("prompt").maxLength = limits.text;
  $("steps").placeholder = defaults.steps ?? "";
  $("steps").max = limits.work.steps ?? 1000;
  const idle = bundle.settings.gestures?.length ? [] : ["gesture", "mu"];
  const shown = Object.entries(properties).filter(([name]) => ![...ELSEWHERE, ...idle].includes(name));
  $("fields").replaceChildren(...shown.map(([name, schema]) => field(name, resolved(schema, bundle.fields), defaults)));
  const { widths, heights } = bundle.settings.body ?? {};
  if (widths && heights) $("fields").append(side("width", widths), side("height", heights));
  for (const input of $("fields").querySelectorAll("[name]:not([name^=canvas-])")) {
    if (input.name in kept) input[input.type === "checkbox" ? "checked" : "value"] = kept[input.name];
  }
  $("more-open").hidden = $("fields").childElementCount === 0;
}

/** A schema without references and alternatives: {type, enum, default}. */
function resolved(schema, whole) {
  const options = (schema.anyOf ?? [schema]).map((each) =>
    each.$ref ? whole.$defs[each.$ref.split("/").at(-1)] : each,
  );
  const known = options.filter((each) => each.type !== "null");
  return {
    ...schema,
    ...(known.find((each) => each.enum) ?? known.find((each) => ["integer", "number"].includes(each.type)) ?? known[0]),
  };
}

function field(name, schema, defaults) {
  const label = NAMES[name] ?? name.replaceAll("_", " ");
  const usual = schema.default ?? defaults[name];
  if (schema.enum) {
    const options = schema.enum.map((value) =>
      make("option", { value, textContent: value, selected: value === usual }),
    );
    return make("label", {}, label, make("select", { name }, ...options));
  }
  if (schema.type === "boolean")
    return make(
      "label",
      { className: "check" },
      make("input", { name, type: "checkbox", checked: usual === true }),
      label,
    );
  const number = ["integer", "number"].includes(schema.type);
  const input = make("input", {
    name,
    type: number ? "number" : "text",
    placeholder: usual ?? "",
    ...(number && { step: "any", min: 0 }),
  });
  return make("label", { className: number ? "" : "long" }, label, input);
}

function side(name, axis) {
  const number = {
    name: `canvas-${name}`,
    type: "number",
    min: axis.least,
    max: axis.most,
    step: axis.multiple,
    value: axis.usual,
  };
  return make("label", {}, `${name[0].toUpperCase()}${name.slice(1)}, pixels`, make("input", number));
}

/** Width and height of the picture that is asked for: the fields', or the model's own. */
export function pictureSize(bundle) {
  const asked = ["width", "height"].map((name) => Number($("fields").querySelector(`[name=canvas-${name}]`)?.value));
  const { width, height } = bundle.picture ?? bundle.settings.body ?? { width: 512, height: 512 };
  return asked.every((each) => each > 0)
    ? { width: asked[0], height: asked[1], free: true }
    : { width, height, free: false };
}

/** What is said in the fields, by the names of a job; what is empty is the model's. */
export function readFields(bundle) {
  const said = {};
  for (const input of $("fields").querySelectorAll("[name]")) {
    if (input.name.startsWith("canvas-")) continue;
    if (input.type === "checkbox") said[input.name] = input.checked;
    else if (input.value.trim() !== "") said[input.name] = input.type === "number" ? Number(input.value) : input.value;
  }
  if ("prompt" in bundle.fields.properties) said.prompt = $("prompt").value.trim();
  if ($("steps").value) said.steps = Number($("steps").value);
  said.seed = Math.min(Math.max(0, Math.trunc(Number($("seed").value) || 0)), SAFE);
  const { width, height, free } = pictureSize(bundle);
  if (free) said.canvas = `${width}x${height}`;
  return said;
}
