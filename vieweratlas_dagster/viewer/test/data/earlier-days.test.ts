import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { decode } from "../../src/data/data";
import { History, type PackedHistory, unpack } from "../../src/data/earlier-days";
import { encoded } from "../fixture";

const DAYS = ["2026-01-08", "2026-01-09", "2026-01-10"];
const today = decode({ ...encoded(), days: DAYS });

/** Two earlier days of anna, bert and zoe; zoe is on the older one only, where anna's audience is unknown. */
function packed(): PackedHistory {
  const groups = { id: [7], size: [3], viewers: [600], label: [0], short: [0], reason: [1], color: [2] };
  const communities = { ...groups, id: [1], region: [7] };
  return {
    format: 1,
    min_shared: 5,
    neighbours_kept: 1,
    coordinate_steps: 1000,
    names: ["anna", "bert", "zoe"],
    // anna-bert, anna-zoe, bert-zoe
    pairs: { first: [0, 0, 1], second: [1, 1, 1] },
    days: [
      {
        name: "2026-01-09",
        regions: groups,
        communities,
        channels: { at: [0, 1], viewers: [251, 201], game: [3, -1], language: [-1, -1], community: [1, 1], region: [7, 7], x: [100, -500], y: [0, 250], neighbours: [1, 1] },
        amount: "shared_viewers",
        amounts: [40, 0, 0],
        events: [],
      },
      {
        name: "2026-01-08",
        regions: groups,
        communities,
        channels: { at: [0, 1, 1], viewers: [-251, 99, 31], game: [0, 4, 3], language: [0, 0, -1], community: [0, 0, -1], region: [0, 0, -1], x: [1, 0, 0], y: [0, 0, 9], neighbours: [1, 1, 2] },
        amount: "shared_viewers",
        amounts: [-40, 6, 7],
        events: [{ level: "community", kind: "split", id: 1, others: [1, 2], channels: 3 }],
      },
    ],
    events: [{ level: "region", kind: "born", id: 9, others: [], channels: 1 }],
    texts: ["German", "language", "#aa0000", "Chess"],
  };
}

test("the block is a zlib stream in base64", async () => {
  const block = deflateSync(JSON.stringify(packed())).toString("base64");
  expect(await unpack(block)).toEqual(packed());
});

test("a day's map has the channels, places, groups and pairs of that day", () => {
  const history = new History(packed(), today);
  const newer = history.mapOf("2026-01-09");
  expect(newer.channels.map(({ name, viewers, x, y, game }) => [name, viewers, x, y, game])).toEqual([
    ["anna", 250, 0.1, 0, "Chess"],
    ["bert", 200, -0.5, 0.25, null],
  ]);
  expect(newer.neighboursOf(newer.channelNamed("anna")!).map(({ channel, amount }) => [channel.name, amount])).toEqual([["bert", 40]]);
  const older = history.mapOf("2026-01-08");
  expect(older.channels.map(({ name, viewers, community }) => [name, viewers, community?.label])).toEqual([
    ["bert", 299, "German"],
    ["zoe", 30, undefined],
    ["anna", null, "German"],
  ]);
  expect(older.channelNamed("anna")!.x).toBeCloseTo(0.101);
  expect(older.neighboursOf(older.channelNamed("zoe")!).map(({ channel, amount }) => [channel.name, amount])).toEqual([["bert", 7]]);
  expect([newer.day, older.day, older.days]).toEqual(["2026-01-09", "2026-01-08", DAYS]);
  expect(history.mapOf("2026-01-10")).toBe(today);
  expect(history.mapOf("1999-01-01")).toBe(today);
});

test("a channel's days are listed from the oldest to today, with gaps", () => {
  const history = new History(packed(), today);
  expect(history.daysOf("anna").map(({ on, viewers }) => [on, viewers])).toEqual([[true, null], [true, 250], [true, 300]]);
  expect(history.daysOf("zoe").map(({ on, viewers }) => [on, viewers])).toEqual([[true, 30], [false, null], [false, null]]);
  expect(history.daysOf("emil").map(({ on }) => on)).toEqual([false, false, true]);
});

test("neighbours that came and went are those of the first day against the last", () => {
  const history = new History(packed(), today);
  expect(history.companyOf("anna")).toEqual({ from: "2026-01-08", to: "2026-01-10", kept: 1, came: ["cleo"], went: ["zoe"] });
  expect(history.companyOf("zoe")).toBeNull();
});

test("events name groups of their own day, or of the day before", () => {
  const history = new History(packed(), today);
  const [split] = history.changesOn("2026-01-08");
  expect([split!.kind, split!.group.label, split!.others.map(({ label }) => label), split!.channels]).toEqual(["split", "German", ["German", "Pokémon"], 3]);
  expect(history.changesOn("2026-01-09")).toEqual([]);
  expect(history.changesOn("2026-01-10").map(({ kind, group }) => [kind, group.label])).toEqual([["born", "English"]]);
});

test("audiences beyond 32 bits stay as they are", () => {
  const large = packed();
  large.days[1]!.channels.viewers[1] = 5_000_000_000;
  expect(new History(large, today).daysOf("bert")[0]!.viewers).toBe(5_000_000_200);
});

test("an unknown format is refused", () => {
  expect(() => new History({ ...packed(), format: 2 }, today)).toThrow("format 2");
});
