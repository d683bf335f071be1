/** The form of the filter: games, languages and size of the audience, with the number of channels for each choice. */
import type { Atlas } from "../data/data";
import { type Choice, choices, EVERYTHING, type Filter, isActive, passing, sizes } from "../data/filter";
import { compact, count, languageName } from "../data/format";
import { el, nameOf } from "../dom";
import { arrows } from "./arrow-keys";
import { fold } from "./search";

const SHOWN_FIRST = 8;

type Kind = "games" | "languages";

/** The number of channels that pass, as text. */
export function leftOver(atlas: Atlas, filter: Filter): string {
  const left = passing(atlas, filter)?.size ?? atlas.channels.length;
  return `${count(left)} of ${count(atlas.channels.length)} channels`;
}

/** Renders the form for a filter; unfolded lists, the focus and the scroll position stay. */
export function renderFilters(box: HTMLElement, atlas: Atlas, filter: Filter, change: (filter: Filter) => void, close: () => void): void {
  const focused = box.contains(document.activeElement) ? document.activeElement?.id : undefined;
  const scrolled = box.scrollTop;
  const shut = el("button", { type: "button", className: "close", ariaLabel: "Close the filter" }, "×");
  shut.addEventListener("click", close);
  const clear = el("button", { type: "button", id: "filter-clear", className: "more", disabled: !isActive(filter) }, "Show all channels");
  clear.addEventListener("click", () => change(EVERYTHING));
  const nothing = !atlas.knows.games && !atlas.knows.languages && !atlas.knows.viewers;
  box.replaceChildren(
    shut,
    el("h2", { tabIndex: -1 }, "Filter"),
    el("p", { className: "left" }, leftOver(atlas, filter)),
    ...(nothing ? [el("p", { className: "note" }, "The games, languages and audiences of these channels are unknown, so they cannot be filtered.")] : []),
    ...section(box, "Game", "games", atlas, filter, change, (game) => game),
    ...section(box, "Language", "languages", atlas, filter, change, languageName),
    ...audience(atlas, filter, change),
    clear,
  );
  box.scrollTop = scrolled;
  if (focused) box.querySelector<HTMLElement>(`#${CSS.escape(focused)}`)?.focus({ preventScroll: true });
}

/** Checkboxes of one kind: the most common and the chosen ones, and all of them on demand. */
function section(
  box: HTMLElement,
  title: string,
  kind: Kind,
  atlas: Atlas,
  filter: Filter,
  change: (filter: Filter) => void,
  write: (value: string) => string,
): HTMLElement[] {
  const all = choices(atlas, filter, kind);
  if (!all.length) return [];
  const chosen = filter[kind];
  const unfolded = box.dataset[kind] === "all";
  const shown = unfolded || all.length <= SHOWN_FIRST + 2 ? all : all.filter(({ value }, at) => at < SHOWN_FIRST || chosen.includes(value));
  const option = ({ value, channels }: Choice) => {
    // The position in the whole list is the same in every rendering.
    const tick = el("input", { type: "checkbox", id: `filter-${kind}-${all.findIndex((choice) => choice.value === value)}`, checked: chosen.includes(value) });
    tick.addEventListener("change", () => change({ ...filter, [kind]: tick.checked ? [...chosen, value] : chosen.filter((other) => other !== value) }));
    return el(
      "li",
      { className: channels ? "" : "none" },
      el("label", {}, tick, el("span", { className: "name" }, nameOf(write(value))), el("span", { className: "number" }, count(channels))),
    );
  };
  const list = arrows(el("ul", { className: "ticks" }, ...shown.map(option)));
  const more = el("button", { type: "button", id: `filter-${kind}-more`, className: "fold" }, unfolded ? "Fewer" : `All ${count(all.length)}`);
  more.addEventListener("click", () => {
    box.dataset[kind] = unfolded ? "" : "all";
    renderAgain();
  });
  const renderAgain = () => change(filter);
  const folds = all.length > shown.length || unfolded;
  return [
    el(
      "fieldset",
      {},
      el("legend", {}, title),
      unfolded && all.length > 2 * SHOWN_FIRST && narrowing(list, all, write, title),
      list,
      folds && more,
    ),
  ];
}

/** A field that hides the entries of a long list that do not contain the typed text. */
function narrowing(list: HTMLElement, all: Choice[], write: (value: string) => string, title: string): HTMLElement {
  const field = el("input", { type: "search", className: "narrow", placeholder: "Narrow the list", ariaLabel: `Narrow the list: ${title.toLowerCase()}` });
  field.addEventListener("input", () => {
    const wanted = fold(field.value);
    [...list.children].forEach((row, at) => ((row as HTMLElement).hidden = !fold(write(all[at]!.value)).includes(wanted)));
  });
  return field;
}

function audience(atlas: Atlas, filter: Filter, change: (filter: Filter) => void): HTMLElement[] {
  if (!atlas.knows.viewers) return [];
  const choice = (kind: "least" | "most", title: string, none: string) => {
    const steps = [...new Set([...sizes(atlas), ...(filter[kind] === null ? [] : [filter[kind]])])].sort((a, b) => a - b);
    const field = el(
      "select",
      { id: `filter-${kind}` },
      el("option", { value: "" }, none),
      ...steps.map((step) => el("option", { value: String(step), selected: filter[kind] === step }, compact(step))),
    );
    field.addEventListener("change", () => change({ ...filter, [kind]: field.value ? Number(field.value) : null }));
    return el("label", {}, title, field);
  };
  return [
    el("fieldset", { className: "sizes" }, el("legend", {}, "Audience"), choice("least", "at least", "any"), choice("most", "at most", "any")),
  ];
}
