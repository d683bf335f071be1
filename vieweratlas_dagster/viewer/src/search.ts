/**
 * Finding channels, communities and regions by name, and the search field with its suggestions.
 *
 * Ranking: the whole name, then its beginning, then a word's beginning, then anywhere; the larger
 * audience first among equals.
 */
import type { Atlas, Channel, Community, Region } from "./data";
import { byId, el, nameOf, swatch } from "./dom";
import { compact, things } from "./format";

export interface Entry {
  target: Channel | Community | Region;
  name: string;
  folded: string;
  viewers: number;
}

/** Lower case, without accents, so that "pokemon" finds "Pokémon". */
export const fold = (text: string) =>
  text.normalize("NFKD").replace(/\p{Mark}/gu, "").toLowerCase().trim();

export function buildIndex(atlas: Atlas): Entry[] {
  const entry = (target: Entry["target"], name: string, viewers: number): Entry => ({
    target,
    name,
    folded: fold(name),
    viewers,
  });
  return [
    ...atlas.regions.map((region) => entry(region, region.label, region.viewers)),
    ...atlas.communities.map((community) => entry(community, community.label, community.viewers)),
    ...atlas.channels.map((channel) => entry(channel, channel.name, channel.viewers ?? 0)),
  ];
}

function rank(folded: string, query: string): number {
  const at = folded.indexOf(query);
  if (at < 0) return 0;
  if (at === 0) return folded.length === query.length ? 4 : 3;
  return /[\p{Letter}\p{Number}]/u.test(folded[at - 1]!) ? 1 : 2;
}

/** The best entries for what was typed, best first. */
export function find(index: Entry[], typed: string, limit = 8): Entry[] {
  const query = fold(typed);
  if (!query) return [];
  return index
    .map((entry) => ({ entry, rank: rank(entry.folded, query) }))
    .filter((found) => found.rank > 0)
    .sort((one, other) => other.rank - one.rank || other.entry.viewers - one.entry.viewers)
    .slice(0, limit)
    .map((found) => found.entry);
}

function describe(target: Entry["target"]): string {
  if ("name" in target) {
    const audience = target.viewers === null ? "" : `${compact(target.viewers)} viewers`;
    return [audience, target.community?.label].filter(Boolean).join(" · ");
  }
  return `${target.kind}, ${things(target.size, "channel")}`;
}

/** Wires the field: typing suggests, arrows move, Enter goes there, Escape closes. */
export function startSearch(atlas: Atlas, go: (target: Entry["target"]) => void): void {
  const field = byId<HTMLInputElement>("search");
  const list = byId("suggestions");
  const index = buildIndex(atlas);
  let found: Entry[] = [];
  let active = -1;

  const close = () => {
    list.hidden = true;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
    active = -1;
  };
  const mark = (next: number) => {
    active = next;
    [...list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === active)));
    if (active < 0) field.removeAttribute("aria-activedescendant");
    else {
      field.setAttribute("aria-activedescendant", `suggestion-${active}`);
      list.children[active]?.scrollIntoView({ block: "nearest" });
    }
  };
  const choose = (entry: Entry) => {
    field.value = entry.name;
    close();
    go(entry.target);
  };
  const option = (entry: Entry, at: number) => {
    const color = "name" in entry.target ? entry.target.community?.color : entry.target.color;
    const item = el(
      "li",
      { id: `suggestion-${at}`, attributes: { role: "option", "aria-selected": "false" } },
      swatch(color ?? "var(--lone)"),
      el("span", { className: "name" }, nameOf(entry.name)),
      el("span", { className: "about" }, describe(entry.target)),
    );
    // Before the field loses focus, which closes the list.
    item.addEventListener("pointerdown", (event) => event.preventDefault());
    item.addEventListener("click", () => choose(entry));
    return item;
  };
  const suggest = () => {
    found = find(index, field.value);
    list.replaceChildren(...found.map(option));
    if (!found.length && field.value.trim()) {
      list.append(el("li", { className: "none", attributes: { role: "option", "aria-disabled": "true" } }, "Nothing by that name on this map"));
    }
    list.hidden = list.children.length === 0;
    field.setAttribute("aria-expanded", String(!list.hidden));
    mark(-1);
  };

  field.addEventListener("input", suggest);
  field.addEventListener("focus", () => field.select());
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) suggest();
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (found.length) mark((active + step + found.length + (active < 0 && step < 0 ? 1 : 0)) % found.length);
    } else if (event.key === "Enter") {
      const entry = found[Math.max(active, 0)];
      if (entry && !list.hidden) choose(entry);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (list.hidden) field.value = "";
      close();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement || document.querySelector("dialog[open]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      field.focus();
    }
  });
}
