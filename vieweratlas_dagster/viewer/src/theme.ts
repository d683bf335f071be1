/**
 * Light and dark: the reader's choice if made, else the system's; and the colours the canvases need.
 *
 * The colours themselves are custom properties in style.css.
 */

export interface Colors {
  sea: string;
  shallows: string[];
  paper: string;
  ink: string;
  muted: string;
  halo: string;
  accent: string;
  lone: string;
  dark: boolean;
}

const KEY = "vieweratlas-theme";
let chosen: string | null = null;
const system = matchMedia("(prefers-color-scheme: dark)");

function stored(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage can be forbidden for local files
  }
}

function apply(): void {
  const dark = (chosen ?? stored() ?? (system.matches ? "dark" : "light")) === "dark";
  document.documentElement.dataset["theme"] = dark ? "dark" : "light";
}

export function colors(): Colors {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return {
    sea: read("--sea"),
    shallows: [read("--shallow-2"), read("--shallow-1")],
    paper: read("--paper"),
    ink: read("--ink"),
    muted: read("--muted"),
    halo: read("--halo"),
    accent: read("--accent"),
    lone: read("--lone"),
    dark: document.documentElement.dataset["theme"] === "dark",
  };
}

/** Sets the theme now and whenever the system or the button changes it. */
export function startTheme(button: HTMLButtonElement, changed: () => void): void {
  const update = () => {
    apply();
    button.setAttribute("aria-pressed", String(colors().dark));
    changed();
  };
  button.addEventListener("click", () => {
    chosen = colors().dark ? "light" : "dark";
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // then the choice lasts as long as the page
    }
    update();
  });
  system.addEventListener("change", update);
  update();
}

type Rgb = [number, number, number];

/** #rgb or #rrggbb as numbers from 0 to 255. */
export function rgb(color: string): Rgb {
  const digits = color.slice(1);
  const full = digits.length === 3 ? [...digits].map((digit) => digit + digit).join("") : digits;
  const value = Number.parseInt(full, 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

/** `share` of the second colour in the first. */
export function mix(first: string, second: string, share: number): string {
  const [one, other] = [rgb(first), rgb(second)];
  const parts = one.map((part, at) => Math.round(part + (other[at]! - part) * share));
  return `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
