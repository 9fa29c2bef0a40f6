"use strict";

// Renders the view of /shop, and posts its buttons. Data is inserted as text nodes only: no string is ever parsed as HTML.

const POLL_MS = 1000;
const TIMEOUT_MS = 30000;
const query = new URLSearchParams(location.search);
const teamId = query.get("team_id");
const buyer = /^[\w.-]{1,64}$/.test(query.get("buyer") ?? "") ? query.get("buyer") : "ann";

const MOODS = {
  normal: "It takes every callback and answers at once.",
  down: "It answers 503 and takes nothing; over RabbitMQ, its messages wait in the queue. The platform retries, each " +
    "time later, and delivers what was missed when the mall is up again.",
  slow: "It stores a callback at once, but answers only after {slow} s: by then the attempt has timed out, and the platform " +
    "sends the same event again. The mall recognizes it by its id, and does nothing twice.",
  veto: "It rejects the refund of a member of a completed team (409): the order is paid as before. Over RabbitMQ " +
    "the mall is not asked.",
};
const TRANSPORTS = { http: "HTTP", rabbitmq: "RabbitMQ" };
const REASONS = {
  take_limit_reached: "this buyer has as many orders as the campaign allows",
  stock_exhausted: "sold out",
  audience_restricted: "not for this buyer",
  campaign_inactive: "not on offer now",
  campaign_not_open: "outside the campaign's time",
  group_buying_suspended: "group buying is switched off",
  user_outside_rollout: "not yet for this buyer",
  mall_blocked: "this mall is blocked",
  goods_not_found: "not on sale here",
  campaign_not_found: "no campaign offers this now",
};
const STATUS = { locked: "busy", paid: "good", refunding: "busy", refunded: "calm", cancelled: "calm" };
const TASKS = { ship: "good", "money back": "bad", hold: "busy", wait: "busy", closed: "calm" };

const byId = (id) => document.getElementById(id);

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key === "onclick") made.addEventListener("click", value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// The mall.

let clockOffset = 0; // milliseconds by which the mall's clock is ahead of this browser's

async function call(path, body) {
  const options = { signal: AbortSignal.timeout(TIMEOUT_MS) };
  if (body !== undefined) {
    Object.assign(options, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("This mall does not answer.");
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Error(typeof problem.detail === "string" ? problem.detail : `The mall answered ${response.status}.`);
}

function showMessage(text) {
  byId("message").textContent = text;
  byId("message").hidden = text === "";
}

let messageStays = false; // the error of a button stays until the next one; a failed poll, until the next success

async function post(button, path, body) {
  button.disabled = true;
  try {
    await call(path, body);
    showMessage("");
    messageStays = false;
  } catch (error) {
    showMessage(error.message);
    messageStays = true;
  }
  rendered.clear();
  await refresh();
}

let refreshing = false;
let refreshAgain = false;

async function refresh() {
  if (refreshing) {
    refreshAgain = true;
    return;
  }
  refreshing = true;
  const params = new URLSearchParams({ buyer });
  if (teamId !== null) params.set("team_id", teamId);
  try {
    do {
      refreshAgain = false;
      const view = await call(`/shop?${params}`);
      clockOffset = Date.parse(view.now) - Date.now();
      if (!messageStays) showMessage("");
      show(view);
    } while (refreshAgain);
  } catch (error) {
    showMessage(error.message);
  } finally {
    refreshing = false;
  }
}

// A part is rendered only when its data has changed, and never while a button is pressed, which would lose the click.

const rendered = new Map();
let pressed = false;

function render(id, data, build) {
  const now = JSON.stringify(data);
  if (pressed || rendered.get(id) === now) return;
  const focused = document.activeElement?.dataset?.key;
  const scrolled = byId(id).scrollTop;
  byId(id).replaceChildren(...build());
  byId(id).scrollTop = scrolled;
  if (focused !== undefined) byId(id).querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  rendered.set(id, now);
}

function show(view) {
  const names = Object.fromEntries(view.goods.map((goods) => [goods.goods_id, goods.market?.quote.goods_name ?? goods.goods_id]));
  render("goods", view.goods, () => view.goods.map(card));
  render("orders", [view.orders, view.problem, names], () => orders(view, names));
  render("mood", view.switches, () => [byId("mood").firstElementChild, ...Object.keys(MOODS).map((mood) => moodButton(mood, view.switches))]);
  render("way", view.switches, () => [byId("way").firstElementChild, ...wayButtons(view.switches)]);
  render("meaning", view.switches.mood, () => [MOODS[view.switches.mood].replace("{slow}", view.switches.slow_seconds)]);
  byId("unusual").textContent = { down: "is down", slow: "is slow", veto: "says no" }[view.switches.mood] ?? "";
  byId("unusual").hidden = view.switches.mood === "normal";
  render("log", view.arrivals, () => [log(view.arrivals)]);
  render("to-do", view.to_do, () => [tasks(view.to_do)]);
  tick();
}

// The parts of the page.

function pushButton(key, title, path, body, attributes) {
  const button = element("button", { type: "button", "data-key": key, ...attributes }, title);
  button.addEventListener("click", () => post(button, path, body));
  return button;
}

function count(number, thing) {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}

function chip(text, kind) {
  return element("span", { class: `chip ${kind ?? "calm"}` }, text);
}

function countdown(until, before, over) {
  return element("span", { class: "countdown", "data-until": until, "data-before": before, "data-over": over });
}

function seats(team) {
  const { target_count: all, lock_count: taken, complete_count: paid } = team;
  const words = `${paid} paid, ${taken - paid} unpaid, ${all - taken} free`;
  const kind = (seat) => (seat < paid ? "paid" : seat < taken ? "unpaid" : "free");
  if (all > 12) return element("span", {}, words);
  return element("span", { class: "seats", role: "img", "aria-label": words, title: words },
    ...Array.from({ length: all }, (_, seat) => element("i", { class: kind(seat) })));
}

function card(goods) {
  const { goods_id: goodsId, market } = goods;
  if (!market) {
    return element("article", { class: "card", "data-goods": goodsId }, element("h3", {}, goodsId),
      element("p", { class: "problem" }, goods.problem));
  }
  const { quote, teams, statistics } = market;
  const why = quote.reasons.map((code) => REASONS[code] ?? code).join("; ");
  return element("article", { class: "card", "data-goods": goodsId },
    element("h3", {}, quote.goods_name),
    element("div", { class: "price" }, quote.pay_price, element("s", {}, quote.original_price)),
    element("p", { class: "soft" }, `${quote.target_count} together save ${quote.deduction} each. ${goods.note}`),
    element("p", { class: "soft" },
      `So far ${count(statistics.team_count, "team")}, ${statistics.completed_team_count} completed, ${count(statistics.user_count, "buyer")}`),
    quote.joinable ? null : element("p", { class: "busy" }, `Not now: ${why}.`),
    element("div", {}, pushButton(`open ${goodsId}`, "Open a team", "/shop/orders", { buyer, goods_id: goodsId },
      { class: "main", disabled: !quote.joinable })),
    element("ul", { class: "teams", "aria-label": "Teams to join" }, ...teams.map((team) => openTeam(team, goodsId, quote))));
}

function openTeam(team, goodsId, quote) {
  const join = () => pushButton(`join ${team.team_id}`, "Join", "/shop/orders", { buyer, goods_id: goodsId, team_id: team.team_id },
    { disabled: !quote.joinable });
  const members = team.members.map((member) => member.user_id).join(", ");
  return element("li", { "data-team": team.team_id }, seats(team), countdown(team.deadline, "", "time is up"),
    element("span", { class: "soft members" }, members), team.mine ? element("span", { class: "soft" }, "in it") : join());
}

function orders(view, names) {
  if (view.problem !== null) return [element("p", { class: "problem" }, view.problem)];
  if (view.orders.length === 0) return [element("p", { class: "soft" }, "None yet. Open a team, or join one.")];
  return view.orders.map((bought) => boughtOrder(bought, names));
}

function boughtOrder(bought, names) {
  const { order, team } = bought;
  const where = team ? [seats(team), element("span", { class: "soft" }, `team ${team.status.replaceAll("_", " ")}`)] : [];
  const left = team?.status === "forming" ? countdown(team.deadline, "ends in ", "is being decided") : null;
  return element("article", { class: "order", "data-order": order.out_trade_no, "data-status": order.status },
    element("div", { class: "line" }, element("h3", {}, names[order.goods_id] ?? order.goods_id),
      chip(order.status, STATUS[order.status]), bought.to_do ? chip(bought.to_do, TASKS[bought.to_do]) : null),
    element("div", { class: "line" }, ...where, left),
    element("div", { class: "line money" }, ...money(bought)),
    element("div", { class: "line soft" }, element("code", {}, order.out_trade_no),
      link("its team's history", order.workflow), link("its refund's history", bought.refund?.workflow),
      element("a", { href: `/?${new URLSearchParams({ buyer, team_id: order.team_id })}` }, "its team's callbacks")),
    element("div", { class: "buttons" }, ...orderButtons(bought)));
}

function link(title, workflow) {
  if (!workflow?.url || !/^https?:/.test(workflow.url)) return null;
  return element("a", { href: workflow.url, target: "_blank", rel: "noopener" }, title);
}

// What the cashier took, what the platform answered, and what was returned, in one line.
function money({ order, payment, refund, money_back: back }) {
  const parts = [];
  if (payment === null) {
    if (order.status === "locked") parts.push(`${order.pay_price} to pay`, countdown(order.lock_expires_at, "seat kept for ", "seat about to time out"));
    else if (order.status === "cancelled") parts.push(`nothing was paid (${order.cancel_reason})`);
    else parts.push(`${order.pay_price} paid elsewhere`);
  } else if (payment.outcome === null) {
    const late = payment.late && order.status === "locked";
    parts.push(`${payment.amount} taken; the cashier reports it ${late ? "when the seat has timed out" : "as soon as it can"}`);
    if (late) parts.push(countdown(order.lock_expires_at, "kept for ", "any moment"));
  } else {
    parts.push(`${payment.amount} paid: ${payment.outcome}${payment.reason ? ` (${payment.reason})` : ""}`);
  }
  if (refund && refund.status === "rejected") parts.push(element("span", { class: "bad" }, "refund rejected by the mall"));
  else if (refund && refund.status !== "done") parts.push(element("span", { class: "busy" }, `refund ${refund.status.replaceAll("_", " ")}`));
  if (Number(back) > 0) parts.push(element("span", { class: "good" }, `${back} returned to the buyer`));
  return parts.map((part) => (typeof part === "string" ? element("span", {}, part) : part));
}

function orderButtons({ order, payment }) {
  const path = `/shop/orders/${encodeURIComponent(order.out_trade_no)}`;
  const button = (title, action, body, attributes) => pushButton(`${title} ${order.out_trade_no}`, title, `${path}/${action}`, body, attributes);
  const pay = (title, how, hint, main) => button(title, "payment", { how }, { title: hint, class: main ? "main" : undefined });
  if (payment === null && order.status === "locked") {
    return [
      pay("Pay", "now", "the cashier takes the money and reports it", true),
      pay("Pay late", "late", "the cashier reports the money only when the seat has timed out"),
      pay("Pay wrong", "wrong", "the cashier takes 1.00 too little"),
      button("Leave", "refund", {}, { title: "gives the seat up" }),
    ];
  }
  if (payment === null && order.status === "cancelled") return [pay("Pay after all", "now", "pays although the seat is gone")];
  return order.status === "paid" ? [button("Refund", "refund", {}, { title: "requests the money back" })] : [];
}

function moodButton(mood, switches) {
  return pushButton(`mood ${mood}`, mood, "/shop/switches", { mood }, { "aria-pressed": String(switches.mood === mood) });
}

function wayButtons(switches) {
  const why = switches.no_rabbitmq;
  const buttons = Object.entries(TRANSPORTS).map(([way, title]) => pushButton(`way ${way}`, title, "/shop/switches", { way },
    { "aria-pressed": String(switches.way === way), disabled: way === "rabbitmq" && why !== null && switches.way !== way }));
  return why === null ? buttons : [...buttons, element("p", { class: "soft" }, why)];
}

function table(heads, rows) {
  return element("table", {}, element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...rows));
}

function row(attributes, ...cells) {
  return element("tr", attributes, ...cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : element("td", {}, cell))));
}

function numbers(all) {
  const few = all.slice(0, 6).flatMap((number, place) => (place ? [", "] : []).concat(element("code", {}, number)));
  return element("td", { class: "orders" }, ...few, all.length > 6 ? ` and ${all.length - 6} more` : null);
}

function log(attempts) {
  if (attempts.length === 0) return element("p", { class: "soft" }, "None yet.");
  const kind = (answer) => (/^(200|acknowledged)/.test(answer) ? "good" : /^409/.test(answer) ? "busy" : "bad");
  const signature = { good: "✓ good", wrong: "✗ wrong", none: "– (queue)" };
  return table(["at", "event", "answered", "sequence", "over", "signature", "duplicate", "orders"], attempts.map((attempt) =>
    row({ "data-type": attempt.type, "data-answer": attempt.answer },
      new Date(attempt.arrived_at).toLocaleTimeString([], { hour12: false }), attempt.type ?? "–",
      element("span", { class: kind(attempt.answer) }, attempt.answer), attempt.sequence === null ? "–" : `#${attempt.sequence}`,
      TRANSPORTS[attempt.way] ?? attempt.way, signature[attempt.signature], attempt.duplicate ? "yes" : "no", numbers(attempt.orders))));
}

function tasks(orders) {
  if (orders.length === 0) return element("p", { class: "soft" }, "Nothing yet. An order appears when a callback says what to do with it.");
  return table(["order", "to do", "because of"], orders.map((order) =>
    row({ "data-to-do": order.out_trade_no }, element("code", {}, order.out_trade_no), chip(order.to_do, TASKS[order.to_do]),
      `${order.type} #${order.sequence}`)));
}

// Time.

function tick() {
  for (const counter of document.querySelectorAll("[data-until]")) {
    const left = Math.ceil((Date.parse(counter.dataset.until) - Date.now() - clockOffset) / 1000);
    const text = left > 0 ? counter.dataset.before + clock(left) : counter.dataset.over;
    if (counter.textContent !== text) counter.textContent = text;
  }
}

function clock(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const minutes = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return seconds < 3600 ? minutes : `${Math.floor(seconds / 3600)}:${minutes}`;
}

// Start.

function chooseBuyer(name) {
  const chosen = name === "" ? `guest-${Math.random().toString(36).slice(2, 7)}` : name;
  const next = new URLSearchParams({ buyer: chosen });
  if (teamId !== null) next.set("team_id", teamId);
  location.assign(`/?${next}`);
}

const choice = byId("buyer");
if (![...choice.options].some((option) => option.value === buyer)) choice.prepend(element("option", { value: buyer }, buyer));
choice.value = buyer;
choice.addEventListener("change", () => chooseBuyer(choice.value));
const name = choice.selectedOptions[0].textContent;
byId("whose").textContent = `${name}'s`;
document.title = `Demo mall: ${name}`;
if (teamId !== null) {
  byId("scope").append("Shown, here and below: team ", element("code", {}, teamId), " · ",
    element("a", { href: `/?${new URLSearchParams({ buyer })}` }, "every team"));
  byId("scope").hidden = false;
}
addEventListener("pointerdown", (event) => { pressed = event.target.closest("button, a") !== null; });
for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, () => setTimeout(() => { pressed = false; }));
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setInterval(() => { if (!document.hidden) refresh(); }, POLL_MS);
setInterval(tick, 250);
refresh();
