/**
 * The panel's section on other days, and the panel for channels that are not on the map.
 *
 * The history is unpacked only when the reader opens the section or moves the slider.
 */
import { heading } from "../controls/details";
import type { Timeline } from "../controls/timeline";
import { changesByDay, trendSection } from "../controls/trend";
import { whyAbsent } from "../data/absence";
import type { Atlas } from "../data/data";
import { dayName } from "../data/format";
import type { History } from "../data/earlier-days";
import type { View } from "../data/state";
import { el } from "../dom";

// Whether the reader opened the section; it then stays open for the next channel.
let wanted = false;

function content(history: History, atlas: Atlas, view: View): HTMLElement | null {
  const { selection } = view;
  const name = selection.kind === "channel" ? selection.channel.name : selection.kind === "none" ? view.absent : null;
  if (name !== null) return trendSection(history.daysOf(name), history.companyOf(name), atlas.day);
  if (selection.kind !== "community" && selection.kind !== "region") return null;
  const { id, kind } = selection.group;
  const days = [...history.days].reverse().map((day) => ({
    day,
    changes: history.changesOn(day).filter(({ level, group, others }) => level === kind && (group.id === id || others.some((other) => other.id === id))),
  }));
  return changesByDay(days, atlas);
}

/** The section on other days of the selection; null for a selection without one. */
export function pastSection(timeline: Timeline, atlas: Atlas, view: View): HTMLElement | null {
  const { selection } = view;
  const asked = selection.kind === "none" ? view.absent !== null : selection.kind !== "compare";
  if (atlas.days.length < 2 || !asked) return null;
  const group = selection.kind === "community" || selection.kind === "region";
  const box = el("details", { className: "past", open: wanted }, el("summary", {}, group ? "What changed" : "Over time"));
  const fill = () => {
    if (timeline.history && box.children.length === 1) box.append(content(timeline.history, atlas, view) ?? "");
    else timeline.load();
  };
  box.addEventListener("toggle", () => {
    wanted = box.open;
    if (wanted) fill();
  });
  if (wanted) fill();
  return box;
}

/** The panel for a channel that is not on the shown map. */
export function renderAbsent(panel: HTMLElement, atlas: Atlas, today: Atlas, name: string): void {
  const elsewhere = atlas !== today && today.channelNamed(name);
  const why = elsewhere ? `It is not on the map of ${dayName(atlas.day ?? "this day")}, but it is on the newest map.` : whyAbsent(today, name);
  panel.replaceChildren(
    el("a", { href: "#", className: "close", ariaLabel: "Close details" }, "×"),
    el("p", { className: "kind" }, "Not on this map"),
    heading(name),
    el("p", { className: "why" }, why),
  );
  panel.hidden = false;
  panel.scrollTop = 0;
}
