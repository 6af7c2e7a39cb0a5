// A stdio MCP server without dependencies, for tests/packages: says as whom it
// runs and which of omni2's secrets it can read.
import { createInterface } from "node:readline";
import { readFileSync, readdirSync } from "node:fs";

const secrets = ["/etc/omni2/database-url", "/etc/omni2/omni2.yaml",
	"/var/lib/omni2/token_secret",
	"/run/credentials/omni2.service/database-url"];

function readable() {
	const found = secrets.filter((path) => {
		try {
			readFileSync(path);
			return true;
		} catch {
			return false;
		}
	});
	// other users' processes must not be there at all
	for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
		try {
			const name = readFileSync(`/proc/${pid}/comm`, "utf8");
			if (name.startsWith("omni2:") || name.startsWith("omni2d"))
				found.push(`process ${pid}`);
		} catch {
			// ended meanwhile
		}
	return found.join(" ") || "none";
}

async function call(name) {
	if (name === "whoami")
		return `uid ${process.getuid()}; secrets: ${readable()}`;
	if (name === "slow") {
		console.error("slow has begun");	// for the journal
		await new Promise((resolve) => setTimeout(resolve, 3000));
	}
	return "done";
}

const tool = (name) => ({ name, description: name,
	inputSchema: { type: "object" } });
const methods = {
	initialize: (params) => ({ protocolVersion: params.protocolVersion,
		capabilities: { tools: {} },
		serverInfo: { name: "demo", version: "1" } }),
	ping: () => ({}),
	"tools/list": () => ({ tools: [tool("whoami"), tool("slow"),
		tool("shutdown")] }),
	"tools/call": async (params) => ({ content: [{ type: "text",
		text: await call(params.name) }] }),
};

createInterface({ input: process.stdin }).on("line", async (line) => {
	const { id, method, params } = JSON.parse(line);
	if (id === undefined)
		return;
	const answer = methods[method] ? { result: await methods[method](params) } :
		{ error: { code: -32601, message: "method not found" } };
	process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, ...answer }) +
		"\n");
}).on("close", () => process.exit(0));
