/** "How to read this map": what the drawing says, what it does not say, and the figures it was made with. */
import type { Atlas } from "./data";
import { byId, el } from "./dom";
import { count, dateRange, things } from "./format";

const NAMES: Record<string, string> = {
  window_days: "Days of chat behind it",
  channels: "Channels",
  viewers: "Viewers seen",
  edges: "Pairs of channels that share viewers",
  communities: "Communities",
  regions: "Regions",
  modularity: "Modularity of the communities (0: no better than chance)",
  overlap_threshold: "Fewest shared viewers for a connection",
  min_channel_viewers: "Fewest viewers for a channel",
  min_shared_published: "Fewest shared viewers published",
  resolution: "Resolution of the communities",
  algorithm: "Community detection",
  generated_for: "Made for",
};
const TOLD_ELSEWHERE = new Set(["title", "date_from", "date_to"]);

/** A key that is not known reads as words. */
const nameOfFact = (key: string) => NAMES[key] ?? key.charAt(0).toUpperCase() + key.slice(1).replaceAll("_", " ");

export function factText(value: unknown): string {
  if (value === null || value === undefined) return "unknown";
  if (typeof value === "number") return Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(3)));
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return /^\d{4}-\d\d-\d\d$/.test(value) ? dateRange(value, value) : value;
  if (Array.isArray(value)) return value.map(factText).join(", ");
  return Object.entries(value as object).map(([key, item]) => `${nameOfFact(key)}: ${factText(item)}`).join("; ");
}

function reading(atlas: Atlas): string[] {
  const { published, facts } = atlas;
  const shared = atlas.amount === "shared_viewers";
  const days = typeof facts["window_days"] === "number" ? ` during ${things(facts["window_days"], "day")}` : "";
  return [
    atlas.knows.viewers
      ? `A disc is a channel. Its area grows with its audience: the different people seen in its chat${days}, which is not its view count.`
      : "A disc is a channel. The list behind this map has no audiences, so a disc's area grows with the number of its neighbours.",
    "Two channels are drawn near each other when they have much of their audience in common. Near means a shared audience, not a shared topic. Directions have no meaning, nor have the shapes of coasts and borders; distances between far-apart channels mean little.",
    "A colour is a community: channels that share more viewers with each other than with the rest. Communities form regions, drawn as countries. Both are found from shared viewers alone; their names are given afterwards, from what is known of their channels.",
    "Grey discs on open sea share too few viewers with any channel to belong to a community.",
    shared
      ? `Select a channel to see whom it shares viewers with. Of each pair the page gives the number of shared viewers and its share of either audience. For each channel the ${published.neighbours_kept} strongest neighbours are kept.`
      : `Select a channel to see its closest channels, by the coefficients of the list this map was made from; the list has no counts of shared viewers. For each channel the ${published.neighbours_kept} closest are kept.`,
  ];
}

function withheld(atlas: Atlas): string {
  const { published } = atlas;
  const privacy =
    atlas.amount === "shared_viewers"
      ? `Only totals are published; no viewer appears anywhere. Pairs of channels with fewer than ${things(published.min_shared, "shared viewer")} are withheld: ${count(published.pairs_withheld)} of ${count(published.pairs)} here. `
      : "Only totals are published; no viewer appears anywhere. ";
  return `${privacy}${things(published.pairs_cut, "weaker pair")} ${published.pairs_cut === 1 ? "was" : "were"} left off this page to keep it small.`;
}

export function startHelp(atlas: Atlas): void {
  const dialog = byId<HTMLDialogElement>("help");
  const close = el("button", { type: "button", className: "close", ariaLabel: "Close" }, "×");
  const rows = Object.entries(atlas.facts)
    .filter(([key]) => !TOLD_ELSEWHERE.has(key))
    .map(([key, value]) => el("tr", {}, el("th", { scope: "row" }, nameOfFact(key)), el("td", {}, factText(value))));
  const dates = dateRange(atlas.facts["date_from"], atlas.facts["date_to"]);
  dialog.replaceChildren(
    close,
    el("h2", { id: "help-title", tabIndex: -1, autofocus: true }, "How to read this map"),
    ...reading(atlas).map((text) => el("p", {}, text)),
    el("h3", {}, "Privacy"),
    el("p", {}, withheld(atlas)),
    el("h3", {}, "How it was made"),
    el(
      "table",
      {},
      el("tbody", {}, dates && el("tr", {}, el("th", { scope: "row" }, "Dates (UTC)"), el("td", {}, dates)), ...rows),
    ),
    el("h3", {}, "Keys"),
    el("p", {}, "/ search · arrows move · + and − zoom · 0 everything · Esc close"),
  );
  byId("help-open").addEventListener("click", () => dialog.showModal());
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
