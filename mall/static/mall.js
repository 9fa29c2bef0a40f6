"use strict";

// Shows what the mall says, and pushes its buttons. Text from data is only ever text: nothing here makes HTML of a string.

const POLL_MS = 1000;
const PATIENCE_MS = 30000;
const query = new URLSearchParams(location.search);
const teamId = query.get("team_id");
const buyer = /^[\w.-]{1,64}$/.test(query.get("buyer") ?? "") ? query.get("buyer") : "ann";

const MOODS = {
  normal: "It takes every callback and answers at once.",
  down: "It answers 503 and takes nothing; over RabbitMQ, its messages wait in the queue. Watch the platform come again, " +
    "each time later. What was missed is delivered when the mall is up again.",
  slow: "It takes a callback at once, but answers only after {slow} s: the platform has given up waiting by then, and comes " +
    "again with the same event. The mall knows it by its id, and does nothing twice.",
  veto: "Asked whether a member of a completed team may leave, it says no (409): the order is paid as before. Over RabbitMQ " +
    "nobody is asked.",
};
const WAYS = { http: "HTTP", rabbitmq: "RabbitMQ" };
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
const TO_DO = { ship: "good", "money back": "bad", hold: "busy", wait: "busy", closed: "calm" };

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

let ahead = 0; // of this browser's clock, the mall's

async function call(path, body) {
  const options = { signal: AbortSignal.timeout(PATIENCE_MS) };
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

function say(text) {
  byId("message").textContent = text;
  byId("message").hidden = text === "";
}

let said = false; // a refusal stays until the next button; that the mall is away, until it is back

async function push(button, path, body) {
  button.disabled = true;
  try {
    await call(path, body);
    say("");
    said = false;
  } catch (error) {
    say(error.message);
    said = true;
  }
  shown.clear();
  await look();
}

let looking = false;
let again = false;

async function look() {
  if (looking) {
    again = true;
    return;
  }
  looking = true;
  const asked = new URLSearchParams({ buyer });
  if (teamId !== null) asked.set("team_id", teamId);
  try {
    do {
      again = false;
      const view = await call(`/shop?${asked}`);
      ahead = Date.parse(view.now) - Date.now();
      if (!said) say("");
      show(view);
    } while (again);
  } catch (error) {
    say(error.message);
  } finally {
    looking = false;
  }
}

// A part is drawn anew only when it has changed, and never under a finger that is down: a click must find its button.

const shown = new Map();
let pressed = false;

function draw(id, facts, build) {
  const now = JSON.stringify(facts);
  if (pressed || shown.get(id) === now) return;
  const focused = document.activeElement?.dataset?.key;
  const scrolled = byId(id).scrollTop;
  byId(id).replaceChildren(...build());
  byId(id).scrollTop = scrolled;
  if (focused !== undefined) byId(id).querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  shown.set(id, now);
}

function show(view) {
  const names = Object.fromEntries(view.goods.map((goods) => [goods.goods_id, goods.market?.quote.goods_name ?? goods.goods_id]));
  draw("goods", view.goods, () => view.goods.map(card));
  draw("orders", [view.orders, view.problem, names], () => orders(view, names));
  draw("mood", view.switches, () => [byId("mood").firstElementChild, ...Object.keys(MOODS).map((mood) => moodButton(mood, view.switches))]);
  draw("way", view.switches, () => [byId("way").firstElementChild, ...wayButtons(view.switches)]);
  draw("meaning", view.switches.mood, () => [MOODS[view.switches.mood].replace("{slow}", view.switches.slow_seconds)]);
  byId("unusual").textContent = { down: "is down", slow: "is slow", veto: "says no" }[view.switches.mood] ?? "";
  byId("unusual").hidden = view.switches.mood === "normal";
  draw("log", view.arrivals, () => [log(view.arrivals)]);
  draw("to-do", view.to_do, () => [toDo(view.to_do)]);
  tick();
}

// What is shown.

function pushButton(key, title, path, body, attributes) {
  const button = element("button", { type: "button", "data-key": key, ...attributes }, title);
  button.addEventListener("click", () => push(button, path, body));
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
      chip(order.status, STATUS[order.status]), bought.to_do ? chip(bought.to_do, TO_DO[bought.to_do]) : null),
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

// The money's way in one line: what the cashier took, what the platform made of it, and what went back.
function money({ order, payment, refund, money_back: back }) {
  const told = [];
  if (payment === null) {
    if (order.status === "locked") told.push(`${order.pay_price} to pay`, countdown(order.lock_expires_at, "seat kept for ", "seat about to go"));
    else if (order.status === "cancelled") told.push(`nothing was paid (${order.cancel_reason})`);
    else told.push(`${order.pay_price} paid elsewhere`);
  } else if (payment.outcome === null) {
    const late = payment.late && order.status === "locked";
    told.push(`${payment.amount} taken; the cashier reports it ${late ? "when the seat is gone" : "as soon as it can"}`);
    if (late) told.push(countdown(order.lock_expires_at, "kept for ", "any moment"));
  } else {
    told.push(`${payment.amount} paid: ${payment.outcome}${payment.reason ? ` (${payment.reason})` : ""}`);
  }
  if (refund && refund.status === "rejected") told.push(element("span", { class: "bad" }, "refund rejected by the mall"));
  else if (refund && refund.status !== "done") told.push(element("span", { class: "busy" }, `refund ${refund.status.replaceAll("_", " ")}`));
  if (Number(back) > 0) told.push(element("span", { class: "good" }, `${back} returned to the buyer`));
  return told.map((part) => (typeof part === "string" ? element("span", {}, part) : part));
}

function orderButtons({ order, payment }) {
  const path = `/shop/orders/${encodeURIComponent(order.out_trade_no)}`;
  const button = (title, action, body, attributes) => pushButton(`${title} ${order.out_trade_no}`, title, `${path}/${action}`, body, attributes);
  const pay = (title, how, hint, main) => button(title, "payment", { how }, { title: hint, class: main ? "main" : undefined });
  if (payment === null && order.status === "locked") {
    return [
      pay("Pay", "now", "the cashier takes the money and reports it", true),
      pay("Pay late", "late", "the cashier reports the money only when the seat is gone"),
      pay("Pay wrong", "wrong", "the cashier takes 1.00 too little"),
      button("Leave", "refund", {}, { title: "gives the seat up" }),
    ];
  }
  if (payment === null && order.status === "cancelled") return [pay("Pay after all", "now", "the seat is gone, and the money comes")];
  return order.status === "paid" ? [button("Refund", "refund", {}, { title: "the buyer wants the money back" })] : [];
}

function moodButton(mood, switches) {
  return pushButton(`mood ${mood}`, mood, "/shop/switches", { mood }, { "aria-pressed": String(switches.mood === mood) });
}

function wayButtons(switches) {
  const why = switches.no_rabbitmq;
  const buttons = Object.entries(WAYS).map(([way, title]) => pushButton(`way ${way}`, title, "/shop/switches", { way },
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

function log(arrivals) {
  if (arrivals.length === 0) return element("p", { class: "soft" }, "None yet.");
  const kind = (answer) => (/^(200|acknowledged)/.test(answer) ? "good" : /^409/.test(answer) ? "busy" : "bad");
  const signature = { good: "✓ good", wrong: "✗ wrong", none: "– (queue)" };
  return table(["at", "event", "answered", "sequence", "over", "signature", "duplicate", "orders"], arrivals.map((arrival) =>
    row({ "data-type": arrival.type, "data-answer": arrival.answer },
      new Date(arrival.arrived_at).toLocaleTimeString([], { hour12: false }), arrival.type ?? "–",
      element("span", { class: kind(arrival.answer) }, arrival.answer), arrival.sequence === null ? "–" : `#${arrival.sequence}`,
      WAYS[arrival.way] ?? arrival.way, signature[arrival.signature], arrival.duplicate ? "yes" : "no", numbers(arrival.orders))));
}

function toDo(told) {
  if (told.length === 0) return element("p", { class: "soft" }, "Nothing yet. An order appears when a callback says what to do with it.");
  return table(["order", "to do", "because of"], told.map((order) =>
    row({ "data-to-do": order.out_trade_no }, element("code", {}, order.out_trade_no), chip(order.to_do, TO_DO[order.to_do]),
      `${order.type} #${order.sequence}`)));
}

// Time.

function tick() {
  for (const counter of document.querySelectorAll("[data-until]")) {
    const left = Math.ceil((Date.parse(counter.dataset.until) - Date.now() - ahead) / 1000);
    const text = left > 0 ? counter.dataset.before + clock(left) : counter.dataset.over;
    if (counter.textContent !== text) counter.textContent = text;
  }
}

function clock(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const minutes = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return seconds < 3600 ? minutes : `${Math.floor(seconds / 3600)}:${minutes}`;
}

// The start.

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
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
setInterval(() => { if (!document.hidden) look(); }, POLL_MS);
setInterval(tick, 250);
look();
