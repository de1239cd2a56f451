// The kinds of media: their names on the wire, their icons, their words.

const KINDS = {
  image: { modality: "MODALITY_IMAGE", icon: "picture", plural: "Pictures" },
  video: { modality: "MODALITY_VIDEO", icon: "film", plural: "Films" },
  audio: { modality: "MODALITY_AUDIO", icon: "heard", plural: "Recordings" },
  text: { modality: "MODALITY_TEXT", icon: "text", plural: "Texts" },
};

/** All kinds, as [kind, plural]. */
export const kinds = Object.entries(KINDS).map(([kind, { plural }]) => [kind, plural]);

/** The kind that a modality of the contract stands for. */
export function kindOf(modality) {
  return Object.keys(KINDS).find((kind) => KINDS[kind].modality === modality) ?? "other";
}

/** The kind that a media type such as "audio/webm" looks like; the server judges by the bytes. */
export function kindOfType(type) {
  const major = type.split("/")[0];
  return major in KINDS ? major : "other";
}

/** The icon of a kind. */
export function iconOf(kind) {
  return KINDS[kind]?.icon ?? "text";
}

/** The plural of a kind. */
export function pluralOf(kind) {
  return KINDS[kind]?.plural ?? "Others";
}
