import { expect, test } from "vitest";
import { contrast, mix, readable, rgb } from "../../src/map/color";

test("colours mix channel by channel", () => {
  expect(rgb("#fff")).toEqual([255, 255, 255]);
  expect(mix("#000000", "#ff8000", 0.5)).toBe("#804000");
});

test("contrast is WCAG's", () => {
  expect(contrast("#000000", "#ffffff")).toBeCloseTo(21);
  expect(contrast("#777777", "#ffffff")).toBeCloseTo(4.48, 2);
  expect(contrast("#ffffff", "#777777")).toBeCloseTo(4.48, 2);
});

test.each(["#68f5ac", "#d7e35c", "#8a1030", "#1f75d2", "#9aa0a6"])("%s becomes readable on its own pale and dark land", (color) => {
  for (const [paper, ink] of [["#fbf8f1", "#1f2b33"], ["#1d2933", "#e9ecea"]] as const) {
    const land = mix(paper, color, 0.3);
    expect(contrast(readable(color, land, ink), land)).toBeGreaterThanOrEqual(4.5);
  }
});

test("a readable colour stays as it is", () => expect(readable("#000000", "#ffffff", "#333333")).toBe("#000000"));
