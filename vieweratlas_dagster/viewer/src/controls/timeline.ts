/** The slider over the days, and the map of the chosen day; unpacks the history when it is first needed. */
import type { Atlas } from "../data/data";
import { dayName, isDate, things } from "../data/format";
import { History, unpack } from "../data/earlier-days";
import { el } from "../dom";
import { changeList } from "./trend";

export interface TimelineHooks {
  /** The reader chose a day; null is the newest. */
  choose(day: string | null): void;
  /** The history is unpacked and can be read. */
  loaded(): void;
  failed(reason: string): void;
}

export class Timeline {
  history: History | null = null;
  private loading = false;
  private readonly range: HTMLInputElement;
  private readonly output: HTMLElement;
  private readonly steps: HTMLButtonElement[];
  private readonly changes = el("div", { className: "day-changes", hidden: true });
  private frame = 0;

  constructor(
    box: HTMLElement,
    private readonly block: () => string,
    private readonly today: Atlas,
    private readonly hooks: TimelineHooks,
  ) {
    const last = today.days.length - 1;
    this.range = el("input", { type: "range", min: "0", max: String(Math.max(last, 0)), step: "1", id: "day", ariaLabel: "Day shown" });
    this.output = el("output", { attributes: { for: "day" } });
    const button = (label: string, text: string, by: number) => {
      const made = el("button", { type: "button", ariaLabel: label }, text);
      made.addEventListener("click", () => this.choose(Number(this.range.value) + by));
      return made;
    };
    this.steps = [button("Previous day", "‹", -1), button("Next day", "›", 1)];
    // At most one day per frame, however fast the thumb is dragged.
    this.range.addEventListener("input", () => {
      this.label(Number(this.range.value));
      cancelAnimationFrame(this.frame);
      this.frame = requestAnimationFrame(() => this.choose(Number(this.range.value)));
    });
    box.append(this.steps[0]!, this.range, this.steps[1]!, this.output, this.changes);
    box.hidden = today.days.length < 2;
    this.label(last);
  }

  /** Moves the slider to the day of the address and returns its map; today's until the history is unpacked. */
  mapOf(day: string | null): Atlas {
    const at = day === null ? -1 : this.today.days.indexOf(day);
    const earlier = at >= 0 && at < this.today.days.length - 1;
    this.label(earlier ? at : this.today.days.length - 1);
    if (!earlier) return this.today;
    if (!this.history) this.load();
    return this.history?.mapOf(day!) ?? this.today;
  }

  /** Lists the changes on the shown day, once the history is unpacked. */
  showChanges(shown: Atlas): void {
    const changes = shown.day === null ? [] : (this.history?.changesOn(shown.day) ?? []);
    const open = this.changes.querySelector("details")?.open ?? false;
    this.changes.hidden = changes.length === 0;
    this.changes.replaceChildren(
      el("details", { open }, el("summary", {}, `${things(changes.length, "change")} on this ${isDate(shown.day ?? "") ? "day" : "map"}`), changeList(changes, shown)),
    );
  }

  /** Unpacks the history once, then calls the hook `loaded`. */
  load(): void {
    if (this.loading || this.today.days.length < 2) return;
    this.loading = true;
    unpack(this.block()).then(
      (packed) => {
        this.history = new History(packed, this.today);
        this.hooks.loaded();
      },
      (reason: unknown) => this.hooks.failed(String(reason)),
    );
  }

  private choose(at: number): void {
    const { days } = this.today;
    const day = days[Math.min(Math.max(at, 0), days.length - 1)];
    if (day !== undefined) this.hooks.choose(day === days.at(-1) ? null : day);
  }

  private label(at: number): void {
    const { days } = this.today;
    const name = dayName(days[at] ?? "");
    this.range.value = String(at);
    this.range.setAttribute("aria-valuetext", name);
    this.output.replaceChildren(name);
    this.steps[0]!.disabled = at <= 0;
    this.steps[1]!.disabled = at >= days.length - 1;
  }
}
