// Runs the script of the page of the web source without a browser: the elements that it uses, and requests that are real.
//
//     node page_browser.js URL NAME=CONTENT-IN-BASE64 ...
//
// Loads the page at URL and chooses the files. Prints each text that an element gets, as a line of JSON. Time passes
// twenty times as fast. Ends when it is killed.
"use strict";

const [address, ...chosen] = process.argv.slice(2);
const site = new URL(address);
const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");

class Element extends EventTarget {
  constructor(name) {
    super();
    Object.assign(this, { name, options: [], hidden: true, classList: { toggle() {}, remove() {} } });
  }
  add(option) {
    this.options.push(option);
    if (option.selected || this.options.length === 1) this.value = option.value;
  }
  append(...more) { for (const one of more) if (one.name === "button") say({ button: one.textContent }); }
  prepend() {}
  remove() {}
  contains() { return true; }
  setAttribute() {}
  get textContent() { return this.text; }
  set textContent(text) { this.text = text; say({ element: this.name, text }); }
}

function request(method, path, fields, body, done) {
  const browser = { origin: site.origin, "sec-fetch-site": "same-origin", "user-agent": "Mozilla/5.0", connection: "close" };
  const options = { method, headers: { ...browser, ...fields } };
  const sent = require("node:http").request(new URL(path, site), options, (response) => {
    const pieces = [];
    response.on("data", (piece) => pieces.push(piece));
    response.on("end", () => done(response.statusCode, response.headers, Buffer.concat(pieces).toString()));
  });
  sent.on("error", () => done(0, {}, ""));
  sent.end(body);
}

class XMLHttpRequest {
  constructor() { Object.assign(this, { upload: {}, fields: {} }); }
  open(method, path) { Object.assign(this, { method, path }); }
  setRequestHeader(name, value) { this.fields[name] = value; }
  getResponseHeader(name) { return this.headers[name.toLowerCase()] || null; }
  send(file) {
    this.upload.onprogress({ loaded: file.size / 2 });
    request(this.method, this.path, this.fields, file.content, (status, headers, responseText) => {
      Object.assign(this, { status, headers, responseText });
      this.onloadend();
    });
  }
}

const elements = {};
const find = (id) => (elements[id] ??= new Element(id));
const window = new EventTarget();
const names = {
  XMLHttpRequest,
  Option: class { constructor(label, value, _default, selected) { Object.assign(this, { label, value, selected }); } },
  addEventListener: window.addEventListener.bind(window),
  document: { hidden: false, getElementById: find, createElement: (name) => new Element(name) },
  location: { pathname: site.pathname },
  setTimeout: (done, milliseconds) => setTimeout(done, milliseconds / 20),
  fetch: (path, { headers }) => new Promise((done, failed) => {
    request("GET", path, headers, "", (status, _fields, text) => {
      if (status) done({ status, ok: status < 300, json: async () => JSON.parse(text) });
      else failed(new Error("no response"));
    });
  }),
};

function choose() {
  if (find("form").hidden) return;
  clearInterval(waiting);
  say({ destinations: find("destination").options.map((one) => one.label), chosen: find("destination").value });
  find("files").files = chosen.map((one) => {
    const [name, content] = one.split("=", 2);
    const bytes = Buffer.from(content, "base64");
    return { name, size: bytes.length, content: bytes };
  });
  find("files").dispatchEvent(new Event("change"));
}

const waiting = setInterval(choose, 20);
request("GET", site.pathname, { accept: "text/html" }, "", (_status, _fields, page) => {
  const script = page.match(/<script>([\s\S]*?)<\/script>/)[1];
  new Function(...Object.keys(names), script)(...Object.values(names));
});
