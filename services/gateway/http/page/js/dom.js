// Elements without a framework.

const SVG = "http://www.w3.org/2000/svg";

/** An element. Keys that begin with "on" are listeners, true and false make or omit an attribute. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

/** An icon of the sprite; it says nothing to a screen reader. */
export function icon(name) {
  return svg(
    "svg",
    { class: "icon", "aria-hidden": "true" },
    svg("use", { href: `/page/icons.svg#${name}` }),
  );
}

/** A button that shows an icon only. */
export function iconButton(name, label, onclick, attributes = {}) {
  return el(
    "button",
    {
      type: "button",
      class: "icon-button",
      "aria-label": label,
      title: label,
      onclick,
      ...attributes,
    },
    icon(name),
  );
}

/** Sets a custom property: how a number reaches the style sheet, as inline styles are not allowed. */
export function setVariable(node, name, value) {
  node.style.setProperty(`--${name}`, value);
  return node;
}

/** Resolves when an element comes into view. */
export function seen(node) {
  return new Promise((resolve) => {
    new IntersectionObserver((entries, observer) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      observer.disconnect();
      resolve();
    }).observe(node);
  });
}
