/** The dialog "How to read this map": the meaning of the drawing, its limits, and the figures behind it. */
import type { Atlas } from "../data/data";
import { count, dateRange, things } from "../data/format";
import { byId, el } from "../dom";

type Row = [name: string, value: string];

// The facts by subject, each with its name. A map has only the facts that were known when it was made.
const SECTIONS: [title: string, names: Record<string, string>][] = [
  [
    "The data",
    {
      generated_for: "Made for",
      window_days: "Days of chat behind it",
      viewers: "Viewers seen",
      edges: "Pairs of channels that share viewers",
      isolated: "Channels without a pair",
      left_out_channels: "Channels left out",
      repeated_rows: "Repeated rows in the list",
      zero_rows: "Rows without shared viewers in the list",
      added_channels: "Channels found in pairs only",
    },
  ],
  [
    "Thresholds",
    {
      min_channel_viewers: "Minimum viewers of a channel",
      overlap_threshold: "Minimum shared viewers of a connection",
      min_shared_published: "Minimum shared viewers to publish a pair",
      min_community_size: "Minimum channels of a community",
    },
  ],
  [
    "Quality",
    {
      modularity: "Modularity of the communities (0: no better than chance)",
      region_modularity: "Modularity of the regions",
      agreement: "Agreement of repeated runs (1: the same communities every time)",
      neighbour_preservation: "Share of a channel's ten strongest neighbours that are among the ten nearest on the map",
      kept_community: "Share of channels whose community stayed the same",
      shared_channels: "Channels on the earlier map too",
      events: "Communities and regions that are new, gone, split or merged since the earlier map",
    },
  ],
  [
    "Method",
    {
      algorithm: "Community detection",
      resolution: "Resolution of the communities",
      region_resolution: "Resolution of the regions",
      seed: "Seed of the random numbers",
    },
  ],
];
const SHOWN_ELSEWHERE = new Set(["title", "date_from", "date_to", "channels", "communities", "regions", "withheld_pairs"]);

/** The name of a fact; an unknown key is written as words. */
const nameOfFact = (key: string) =>
  SECTIONS.find(([, names]) => key in names)?.[1][key] ?? key.charAt(0).toUpperCase() + key.slice(1).replaceAll("_", " ");

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
      : "A disc is a channel. The list behind this map does not contain audiences, so a disc's area grows with the number of its neighbours.",
    "Two channels are drawn near each other when they have much of their audience in common. Near means a shared audience, not a shared topic. Directions and the shapes of coasts and borders have no meaning; distances between channels that are far apart mean little.",
    "A colour is a community: channels that share more viewers with each other than with the rest. Communities form regions, drawn as countries. Both are found from shared viewers alone; their names are given afterwards, from known facts about their channels. Colours are chosen to differ for colour-blind readers too, and stay with their community from map to map.",
    "Grey discs on open sea share too few viewers with any channel to belong to a community.",
    shared
      ? `Select a channel to see which channels it shares viewers with. For each pair, the page gives the number of shared viewers and its share of either audience. For each channel, the ${published.neighbours_kept} strongest neighbours are kept.`
      : `Select a channel to see its closest channels, by the coefficients of the list this map was made from; the list does not contain counts of shared viewers. For each channel, the ${published.neighbours_kept} closest are kept.`,
  ];
}

function comparing(atlas: Atlas): string {
  if (atlas.amount === "weight") return "Channels can be compared two or three at a time. The list behind this map has coefficients only, so audiences cannot be split into shared and unique.";
  return "Channels can be compared two or three at a time. For two channels, shared and unique audiences follow exactly from the published pair. For three, only audiences and pairs are counted, so the rest is given as bounds that follow from them, and so is a pair that is not on this page.";
}

function withheld(atlas: Atlas): string {
  const { published } = atlas;
  const privacy =
    atlas.amount === "shared_viewers"
      ? `Only totals are published; no viewer appears anywhere. Pairs of channels with fewer than ${things(published.min_shared, "shared viewer")} are withheld: ${count(published.pairs_withheld)} of ${count(published.pairs)} here. `
      : "Only totals are published; no viewer appears anywhere. ";
  return `${privacy}${things(published.pairs_cut, "weaker pair")} ${published.pairs_cut === 1 ? "was" : "were"} left off this page to keep it small.`;
}

/** Figures beside the facts: dates, and counts of the page's contents. */
function counts(atlas: Atlas): Row[] {
  const dates = dateRange(atlas.facts["date_from"], atlas.facts["date_to"]);
  const { pairs, pairs_withheld: kept_back, pairs_cut: cut } = atlas.published;
  return [
    ...(dates ? ([["Dates (UTC)", dates]] as Row[]) : []),
    ["Channels", count(atlas.channels.length)],
    ["Communities, regions", `${count(atlas.communities.length)}, ${count(atlas.regions.length)}`],
    ["Pairs on this page", `${count(pairs - kept_back - cut)} of ${count(pairs)}`],
  ];
}

/** Every fact once, under its heading; facts without a heading come last. */
export function factSections(atlas: Atlas): [title: string, rows: Row[]][] {
  const facts = Object.entries(atlas.facts).filter(([key]) => !SHOWN_ELSEWHERE.has(key));
  const row = ([key, value]: [string, unknown]): Row => [nameOfFact(key), factText(value)];
  const sections = SECTIONS.map(([title, names]): [string, Row[]] => [
    title,
    [...(title === "The data" ? counts(atlas) : []), ...Object.keys(names).flatMap((name) => facts.filter(([key]) => key === name).map(row))],
  ]);
  const others = facts.filter(([key]) => !SECTIONS.some(([, names]) => key in names)).map(row);
  return [...sections, ["More", others] as [string, Row[]]].filter(([, rows]) => rows.length > 0);
}

const table = (rows: Row[]) =>
  el("table", {}, el("tbody", {}, ...rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)))));

const KEYS: Row[] = [
  ["/", "search"],
  ["↑ ↓", "move in suggestions and lists"],
  ["← ↑ → ↓", "move the map while it has the focus"],
  ["+ − 0", "zoom in, zoom out, show everything"],
  ["Esc", "close"],
];

function fill(dialog: HTMLDialogElement, atlas: Atlas): void {
  const close = el("button", { type: "button", className: "close", ariaLabel: "Close" }, "×");
  close.addEventListener("click", () => dialog.close());
  dialog.replaceChildren(
    close,
    el("h2", { id: "help-title", tabIndex: -1, autofocus: true }, "How to read this map"),
    ...reading(atlas).map((text) => el("p", {}, text)),
    el("h3", {}, "Comparing"),
    el("p", {}, comparing(atlas)),
    el("h3", {}, "Privacy"),
    el("p", {}, withheld(atlas)),
    ...factSections(atlas).flatMap(([title, rows]) => [el("h3", {}, title), table(rows)]),
    el("h3", {}, "Keys"),
    table(KEYS),
    el("p", { className: "note" }, "The address of this page contains the view: the selection, the filter and the position. Copy it to share the view."),
  );
}

/** Wires the dialog, which is filled when it is first opened. */
export function startHelp(atlas: Atlas): void {
  const dialog = byId<HTMLDialogElement>("help");
  byId("help-open").addEventListener("click", () => {
    if (!dialog.firstChild) fill(dialog, atlas);
    dialog.showModal();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
