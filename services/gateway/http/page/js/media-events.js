// Waiting for what a media element does.

/** Resolves at the first of some events: true; or when the media turns out to be broken: false. */
export function happens(media, ...events) {
  return new Promise((resolve) => {
    for (const event of events) media.addEventListener(event, () => resolve(true), { once: true });
    media.addEventListener("error", () => resolve(false), { once: true });
  });
}
