// The demo identity provider's few pages. Plain HTML that works without scripts.

export function loginPage({ action, login = "", twoFactors = false, failure }) {
  const alert = failure ? `<p role="alert">${escape(failure)}</p>` : "";
  const code = `<p><label for="code">One-time code</label><br>
  <input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" required></p>`;
  const form = action
    ? `<form method="post" action="${escape(action)}">
  <p><label for="login">User name</label><br>
  <input id="login" name="login" autocomplete="username" autofocus required value="${escape(login)}"></p>
  <p><label for="password">Password</label><br>
  <input id="password" name="password" type="password" autocomplete="current-password" required></p>
  ${twoFactors ? code : ""}
  <p><button type="submit">Log in</button></p>
</form>
<p>Demo users: alice, bob, carol. The password is the name${twoFactors ? ", and the code is 000000" : ""}.</p>`
    : "";
  return page("Log in to the demo identity provider", alert + form);
}

/** `form` is the provider's own, with its token against forgery and the id "op.logoutForm". */
export function logoutPage(ctx, form) {
  ctx.body = page(
    "Log out",
    `<p>Do you want to log out of the demo identity provider?</p>
${form}
<p><button autofocus type="submit" form="op.logoutForm" name="logout" value="yes">Yes, log me out</button>
<button type="submit" form="op.logoutForm">No, stay logged in</button></p>`,
  );
}

export function loggedOutPage(ctx) {
  ctx.body = page("Logged out", "<p>You are logged out of the demo identity provider.</p>");
}

export function errorPage(ctx, out) {
  ctx.type = "html";
  const rows = Object.entries(out).map(([name, value]) => `<dt>${escape(name)}</dt><dd>${escape(value)}</dd>`);
  ctx.body = page("The request cannot be answered", `<dl>${rows.join("")}</dl>`);
}

function page(title, content) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 24rem; margin: 4rem auto; padding: 0 1rem; color: #111; background: #fff; }
  input { font: inherit; width: 100%; padding: .5rem; box-sizing: border-box; }
  button { font: inherit; padding: .5rem 1rem; }
  [role=alert] { color: #a00; font-weight: bold; }
</style>
</head>
<body>
<main>
<h1>${title}</h1>
${content}
</main>
</body>
</html>
`;
}

function escape(text) {
  return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
