import { expect, test } from "vitest";
import { absentLike, whyAbsent } from "../../src/data/absence";
import { decode, type EncodedAbsent } from "../../src/data/data";
import { encoded } from "../fixture";

const absent: EncodedAbsent = {
  name: ["quiet", "tiny", "botty", "asleep", "unread", "hardly", "tinier"],
  kind: ["few_viewers", "few_viewers", "excluded", "offline", "never_observed", "little_coverage", null],
  viewers: [7, null, 8, 0, 0, 9, 0],
  excluded: [0, 0, 40, 0, 0, 0, 0],
  coverage: [90, 90, 90, 90, null, 3, 90],
  untold: 2,
};
const of = (facts: Record<string, unknown>, missing: EncodedAbsent | null = absent) =>
  decode({ ...encoded(), facts, ...(missing ? { absent: missing } : {}) });
const daily = of({ min_channel_viewers: 10, top_channels_limit: 5000, channel_list: false });

test.each([
  ["quiet", "Only 7 viewers were seen in its chat; a channel on this map has at least 10."],
  ["QUIET", "Only 7 viewers were seen in its chat; a channel on this map has at least 10."],
  ["tiny", "Fewer than 5 viewers were seen in its chat; a channel on this map has at least 10."],
  ["botty", "Not counting 40 that were left out as bots, 8 viewers were seen in its chat, and a channel on this map has at least 10."],
  ["asleep", "Its chat was read, but it was not live on these days, and no viewer wrote in it."],
  ["unread", "It was meant to be collected, but its chat was never read, so its audience is unknown."],
  ["hardly", "Its chat was read for only 3% of the time: 9 viewers were seen in it, and a channel on this map has at least 10, so it may have had more."],
  ["tinier", "Its chat was read, but no viewer was seen writing in it; a channel on this map has at least 10."],
])("%s", (name, sentence) => {
  expect(whyAbsent(daily, name)).toBe(sentence);
});

test("the answer for a channel that was not collected says how channels are chosen", () => {
  const rest = " 2 smaller channels that were collected but left out are not named on this page.";
  expect(whyAbsent(daily, "stranger")).toBe(
    `This page does not contain data on this channel: to be on the map, it must be among the 5,000 largest live channels.${rest}`,
  );
  expect(whyAbsent(of({ channel_list: true, top_channels_limit: 5000 }, { ...absent, untold: 0 }), "stranger")).toBe(
    "This page does not contain data on this channel: to be on the map, it must be in the channel list.",
  );
  expect(whyAbsent(of({}, null), "stranger")).toBe("This channel is not in the list that this map was made from.");
});

test("search finds them by any part, beginnings first", () => {
  expect(absentLike(daily, "TIN")).toEqual(["tiny", "tinier"]);
  expect(absentLike(daily, "t", 2)).toEqual(["tiny", "tinier"]);
  expect(absentLike(daily, "ed")).toEqual([]);
  expect(absentLike(daily, "rea")).toEqual(["unread"]);
  expect(absentLike(daily, " ")).toEqual([]);
  expect(absentLike(of({}, null), "t")).toEqual([]);
});
