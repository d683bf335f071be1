import { expect, test } from "vitest";
import { count, dateRange, languageName, percent, things } from "../../src/data/format";

test.each([
  [0, "0.0%"],
  [0.0004, "<0.1%"],
  [0.0123, "1.2%"],
  [0.0997, "10%"],
  [0.5, "50%"],
  [1, "100%"],
])("a share of %d reads %s", (share, text) => expect(percent(share)).toBe(text));

test("counts and plurals", () => {
  expect(count(1234567)).toBe("1,234,567");
  expect([things(1, "community", "communities"), things(2, "community", "communities")]).toEqual(["1 community", "2 communities"]);
});

test("dates are read as UTC days", () => {
  expect(dateRange("2021-02-27", "2021-02-27")).toBe("27 Feb 2021");
  expect(dateRange("2021-02-21", "2021-02-27").replace(/\s/g, " ")).toMatch(/^21 ?– ?27 Feb 2021$/);
  expect(dateRange(null, "2021-02-27")).toBe("27 Feb 2021");
  expect(dateRange("soon", 3)).toBe("");
});

test("a language code that is none stays as it is", () => {
  expect(languageName("de")).toBe("German");
  expect(languageName("not a code")).toBe("not a code");
});
