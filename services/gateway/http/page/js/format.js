// Numbers for people, and numbers out of the JSON mapping of protobuf.

/** Seconds of a Duration such as "4.880s". */
export function seconds(duration) {
  return duration ? Number.parseFloat(duration) : 0;
}

/** 65.2 → "1:05". */
export function clock(time_s) {
  const whole_s = Math.floor(time_s);
  const [hours, minutes, rest] = [
    Math.floor(whole_s / 3600),
    Math.floor(whole_s / 60) % 60,
    whole_s % 60,
  ];
  const tail = `${String(rest).padStart(2, "0")}`;
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** 0.4484 → "448 ms", 3.21 → "3.2 s". */
export function lapse(time_s) {
  return time_s < 1 ? `${Math.round(time_s * 1000)} ms` : `${time_s.toFixed(1)} s`;
}

/** How long to wait: 3.2 → "4 s", 200 → "4 min", 86000 → "24 h". */
export function wait(time_s) {
  if (time_s <= 120) return `${Math.ceil(time_s)} s`;
  return time_s <= 7200 ? `${Math.ceil(time_s / 60)} min` : `${Math.ceil(time_s / 3600)} h`;
}

/** 38702 → "38 kB". */
export function bytes(count) {
  const units = ["B", "kB", "MB", "GB"];
  let value = Number(count ?? 0);
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${value < 10 && unit > 1 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** 1 → "1 token", 12 → "12 tokens". */
export function count(number, noun) {
  return `${Number(number ?? 0).toLocaleString("en")} ${noun}${Number(number) === 1 ? "" : "s"}`;
}

/** ["a.jpg"] → "a.jpg is", of three → "3 files are". */
export function filesAre(names) {
  return names.length === 1 ? `${names[0]} is` : `${names.length} files are`;
}

/** 0.8621 → "86 %". */
export function percent(share) {
  const value = (share ?? 0) * 100;
  return `${value > 0 && value < 1 ? "<1" : Math.round(value)} %`;
}

/** A moment for people: the time today, the date before. */
export function moment(timestamp) {
  const date = new Date(timestamp);
  const today = date.toDateString() === new Date().toDateString();
  return today
    ? date.toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hour12: false })
    : date.toLocaleDateString("en", { day: "numeric", month: "short" });
}
