// The page of the command: the token is in the address, and goes to this server in a header.

import { mount, overHttp } from "./viewer.js";

mount(document.getElementById("viewer"), overHttp(location.hash.slice(1)), { focus: true });
addEventListener("hashchange", () => location.reload());
