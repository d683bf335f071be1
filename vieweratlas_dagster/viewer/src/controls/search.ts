/**
 * Finds channels, communities and regions by name, and suggests them under a field.
 *
 * Ranking: the whole name, then its beginning, then a word's beginning, then anywhere; the larger
 * audience first among equals.
 */
import { absentLike } from "../data/absence";
import type { Atlas, Channel, Community, Region } from "../data/data";
import { compact, things } from "../data/format";
import { byId, el, nameOf, swatch } from "../dom";

const LONGEST_ASKED = 60;
const SUGGESTED = 8;
// A text that may be a whole login is offered to ask about, even if it begins other names.
const LOGIN = /^[a-z0-9_]{3,25}$/i;

export interface Entry {
  target: Channel | Community | Region;
  name: string;
  folded: string;
  viewers: number;
}

/** Lower case, without accents, so that "pokemon" finds "Pokémon". */
export const fold = (text: string) =>
  text.normalize("NFKD").replace(/\p{Mark}/gu, "").toLowerCase().trim();

const entry = (target: Entry["target"], name: string, viewers: number): Entry => ({ target, name, folded: fold(name), viewers });

export const channelEntry = (channel: Channel) => entry(channel, channel.name, channel.viewers ?? 0);

export function buildIndex(atlas: Atlas): Entry[] {
  return [
    ...atlas.regions.map((region) => entry(region, region.label, region.viewers)),
    ...atlas.communities.map((community) => entry(community, community.label, community.viewers)),
    ...atlas.channels.map(channelEntry),
  ];
}

function rank(folded: string, query: string): number {
  const at = folded.indexOf(query);
  if (at < 0) return 0;
  if (at === 0) return folded.length === query.length ? 4 : 3;
  return /[\p{Letter}\p{Number}]/u.test(folded[at - 1]!) ? 1 : 2;
}

/** The entries that match the typed text, best first. */
export function find(index: Entry[], typed: string, limit = SUGGESTED): Entry[] {
  const query = fold(typed);
  if (!query) return [];
  return index
    .map((entry) => ({ entry, rank: rank(entry.folded, query) }))
    .filter((found) => found.rank > 0)
    .sort((a, b) => b.rank - a.rank || b.entry.viewers - a.entry.viewers)
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

/** A field, the empty list for its suggestions, and the source and use of the suggestions. */
export interface Finder {
  field: HTMLInputElement;
  list: HTMLElement;
  /** The suggestions for a text, which may be empty. */
  suggest(typed: string): Entry[];
  /** Names that are not on the map but can be asked about. */
  missing?(typed: string, found: Entry[]): string[];
  ask?(name: string): void;
  choose(entry: Entry): void;
}

/** Wires a field: typing suggests, arrows move, Enter chooses, Escape closes. */
export function startFinder({ field, list, suggest, choose, missing, ask }: Finder): void {
  let found: Entry[] = [];
  let absent: string[] = [];
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
      field.setAttribute("aria-activedescendant", `${list.id}-${active}`);
      list.children[active]?.scrollIntoView({ block: "nearest" });
    }
  };
  const take = (entry: Entry) => {
    field.value = entry.name;
    close();
    choose(entry);
  };
  const option = (entry: Entry, at: number) => {
    const color = "name" in entry.target ? entry.target.community?.color : entry.target.color;
    const item = el(
      "li",
      { id: `${list.id}-${at}`, attributes: { role: "option", "aria-selected": "false" } },
      swatch(color ?? "var(--lone)"),
      el("span", { className: "name" }, nameOf(entry.name)),
      el("span", { className: "about" }, describe(entry.target)),
    );
    // Keeps the focus in the field; losing it would close the list before the click.
    item.addEventListener("pointerdown", (event) => event.preventDefault());
    item.addEventListener("click", () => take(entry));
    return item;
  };
  const askFor = (name: string) => {
    field.value = name;
    close();
    ask?.(name);
  };
  const missingOption = (name: string, at: number) => {
    const item = el(
      "li",
      { id: `${list.id}-${found.length + at}`, className: "missing", attributes: { role: "option", "aria-selected": "false" } },
      el("span", { className: "name" }, nameOf(name)),
      el("span", { className: "about" }, "not on this map: why?"),
    );
    item.addEventListener("pointerdown", (event) => event.preventDefault());
    item.addEventListener("click", () => askFor(name));
    return item;
  };
  const open = () => {
    found = suggest(field.value);
    absent = missing?.(field.value, found) ?? [];
    list.replaceChildren(...found.map(option), ...absent.map(missingOption));
    if (!list.children.length && field.value.trim()) {
      list.append(el("li", { className: "none", attributes: { role: "option", "aria-disabled": "true" } }, "Nothing on this map has that name"));
    }
    list.hidden = list.children.length === 0;
    field.setAttribute("aria-expanded", String(!list.hidden));
    mark(-1);
  };

  field.addEventListener("input", open);
  field.addEventListener("focus", () => field.select());
  // Not on focus, which a reader who tabs through the page also gives.
  field.addEventListener("click", () => {
    if (list.hidden) open();
  });
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) open();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const all = found.length + absent.length;
      if (all) mark((active + step + all + (active < 0 && step < 0 ? 1 : 0)) % all);
    } else if (event.key === "Enter") {
      const entry = found[Math.max(active, 0)];
      const name = absent[Math.max(active, 0) - found.length];
      if (entry && !list.hidden) take(entry);
      else if (name !== undefined && !list.hidden) askFor(name);
    } else if (event.key === "Escape" && (field.value || !list.hidden)) {
      event.stopPropagation();
      if (list.hidden) field.value = "";
      close();
    }
  });
}

/** Wires the header's search, to which the key "/" moves the focus. */
export function startSearch(shown: () => Atlas, today: Atlas, go: (target: Entry["target"]) => void, ask: (name: string) => void): void {
  const field = byId<HTMLInputElement>("search");
  let atlas = shown();
  let index = buildIndex(atlas);
  startFinder({
    field,
    list: byId("suggestions"),
    suggest(typed) {
      if (shown() !== atlas) index = buildIndex((atlas = shown()));
      return find(index, typed);
    },
    choose: (entry) => go(entry.target),
    missing(typed, found) {
      // The reader can also ask about channels of a different day, and about channels that were not collected.
      const listed = absentLike(today, typed).filter((name) => !atlas.channelNamed(name));
      const asked = typed.trim().slice(0, LONGEST_ASKED);
      const exact = found.some(({ folded }) => folded === fold(asked));
      const whole = LOGIN.test(asked) && found.length < SUGGESTED && !exact;
      return listed.length || !asked || (found.length && !whole) ? listed : [asked];
    },
    ask,
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement || document.querySelector("dialog[open]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      field.focus();
    }
  });
}
