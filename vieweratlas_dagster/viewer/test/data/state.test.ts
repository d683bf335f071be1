import { describe, expect, test } from "vitest";
import { decode } from "../../src/data/data";
import { EVERYTHING } from "../../src/data/filter";
import { hashOf, linkTo, START, type View, viewOf } from "../../src/data/state";
import { encoded } from "../fixture";

const rows = encoded();
rows.channels.name[3] = "</script> & #ü=%,+";
rows.games[1] = "Pokémon & #1, =50%";
const atlas = decode({ ...rows, days: ["2026-01-09", "2026-01-10"] });
const view = (hash: string) => viewOf(hash, atlas).view;

test("every address leads back to its selection", () => {
  for (const channel of atlas.channels) expect(view(linkTo(channel)).selection).toEqual({ kind: "channel", channel });
  for (const group of [...atlas.communities, ...atlas.regions]) {
    expect(view(linkTo(group)).selection).toEqual({ kind: group.kind, group });
  }
});

test("a whole view survives the address", () => {
  const whole: View = {
    selection: { kind: "compare", channels: [atlas.channels[3]!, atlas.channels[0]!, atlas.channels[2]!] },
    filter: { games: [rows.games[1]!, "Chess"], languages: ["de"], least: 10, most: 300 },
    day: "2026-01-09",
    absent: null,
    elsewhere: [],
    camera: { x: -0.125, y: 0.5, zoom: 2.5 },
  };
  const hash = hashOf(whole);
  expect(viewOf(hash, atlas)).toEqual({ view: whole, ignored: [] });
  expect(hash).toMatch(/^#[\w=&%.,'()!~*-]+$/);
});

describe("a day that lacks what is selected", () => {
  const fewer = encoded();
  fewer.channels.name[0] = "somebody else";
  fewer.communities.id[0] = 77;
  const before = decode({ ...fewer, days: ["2026-01-09", "2026-01-10"] });
  const [gone, here] = [atlas.channels[0]!.name, atlas.channels[1]!.name];

  test.each([
    [`#compare=${gone}&compare=${here}`, "channel"],
    [`#community=${atlas.communities[0]!.id}`, "none"],
  ])("%s returns with the day that has it", (hash, kind) => {
    const past = viewOf(hash, before, atlas);
    expect(past.view.selection.kind).toBe(kind);
    expect(past.ignored).toHaveLength(1);
    const again = viewOf(hashOf({ ...past.view, day: "2026-01-09" }), atlas, atlas);
    const same = new Set(hash.slice(1).split("&"));
    expect(new Set(hashOf({ ...again.view, day: null }).slice(1).split("&"))).toEqual(same);
    expect(again.ignored).toEqual([]);
  });

  test("a part that no day's map has is not kept", () => {
    expect(viewOf("#compare=nobody&compare=nobody2&community=5555", before, atlas).view.elsewhere).toEqual([]);
  });
});

test("the start has an empty address", () => {
  expect(hashOf(START)).toBe("#");
  for (const hash of ["", "#"]) expect(viewOf(hash, atlas)).toEqual({ view: { ...START, filter: EVERYTHING }, ignored: [] });
});

test.each([
  ["#channel=", "channel="],
  ["#community=99", "99"],
  ["#region=x", "x"],
  ["#region=1e0", "1e0"],
  ["#channel=%E0%A4%A", "channel=%E0%A4%A"],
  ["#other=1", "1"],
  ["#constructor=1", "1"],
  ["#__proto__", "__proto__"],
  ["#=anna", "=anna"],
  ["#game=Tetris", "Tetris"],
  ["#language=xx", "xx"],
  ["#least=-5", "-5"],
  ["#most=1e9", "1e9"],
  ["#least=99999999999999999999", "99999999999999999999"],
  ["#day=today", "today"],
  ["#day=2026-01-08", "2026-01-08"],
  ["#at=0,0", "0,0"],
  ["#at=0,0,0", "0,0,0"],
  ["#at=0,NaN,1", "0,NaN,1"],
  ["#at=0,Infinity,1", "0,Infinity,1"],
  ["#community=<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"],
])("%s changes nothing and is reported", (hash, part) => {
  expect(viewOf(hash, atlas)).toEqual({ view: START, ignored: [part] });
});

test("a channel that is not on the map is asked about, and keeps its name in the address", () => {
  for (const name of ["nobody", "<img src=x onerror=alert(1)>"]) {
    const address = hashOf({ absent: name, day: "2026-01-09" });
    expect(viewOf(address, atlas)).toEqual({ view: { ...START, absent: name, day: "2026-01-09" }, ignored: [] });
  }
  expect(viewOf("#channel=nobody&channel=nemo", atlas).ignored).toEqual(["nemo"]);
});

test("the newest day is the start", () => {
  expect(viewOf("#day=2026-01-10", atlas)).toEqual({ view: START, ignored: [] });
});

describe("of an address that is partly wrong, the rest counts", () => {
  test("unknown names beside known ones", () => {
    const reading = viewOf("#channel=anna&game=Chess&game=Tetris&nonsense", atlas);
    expect(reading.view.selection).toMatchObject({ kind: "channel", channel: { name: "anna" } });
    expect(reading.view.filter.games).toEqual(["Chess"]);
    expect(reading.ignored).toEqual(["Tetris", "nonsense"]);
  });

  test("a comparison of one known channel shows that channel", () => {
    const reading = viewOf("#compare=anna&compare=nobody&compare=anna", atlas);
    expect(reading.view.selection).toMatchObject({ kind: "channel", channel: { name: "anna" } });
    expect(reading.ignored).toEqual(["nobody", "anna"]);
  });

  test("only the first selection and the first three to compare count", () => {
    expect(viewOf("#channel=anna&region=7", atlas).ignored).toEqual(["7"]);
    const four = viewOf("#compare=anna&compare=bert&compare=cleo&compare=emil", atlas);
    expect(four.view.selection).toMatchObject({ channels: [{ name: "anna" }, { name: "bert" }, { name: "cleo" }] });
    expect(four.ignored).toEqual(["emil"]);
  });
});

test("an endless address is not read", () => {
  for (const hash of [`#channel=${"a".repeat(9000)}`, `#${"game=Chess&".repeat(300)}`]) {
    const reading = viewOf(hash, atlas);
    expect(reading.view).toEqual(START);
    expect(reading.ignored).toHaveLength(1);
  }
});

test("a channel is found in capitals too", () => {
  expect(view("#channel=ANNA").selection).toMatchObject({ channel: { name: "anna" } });
});
