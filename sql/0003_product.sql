-- 0003: chat, sessions, virtual servers, jobs, webhooks, notifications, and
-- the view audit_logs with the documented columns.

CREATE TABLE omni2.virtual_servers (
	id		uuid PRIMARY KEY,
	org_id		bigint NOT NULL REFERENCES omni2.organisations (id),
	namespace_id	bigint REFERENCES omni2.namespaces (id) ON DELETE SET NULL,
	name		text NOT NULL,
	description	text NOT NULL DEFAULT '',
	adapter_type	text NOT NULL DEFAULT 'REST'
			CHECK (adapter_type IN ('REST', 'GraphQL', 'gRPC', 'SOAP')),
	tools		jsonb NOT NULL DEFAULT '[]',
	is_active	boolean NOT NULL DEFAULT true,
	created_at	timestamptz NOT NULL DEFAULT now(),
	updated_at	timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX virtual_servers_name ON omni2.virtual_servers
	(org_id, (coalesce(namespace_id, 0)), name);

CREATE TABLE omni2.mcp_sessions (
	id		text PRIMARY KEY,	-- hash of the session id
	org_id		bigint NOT NULL REFERENCES omni2.organisations (id),
	user_id		bigint REFERENCES omni2.users (id) ON DELETE CASCADE,
	server_id	bigint REFERENCES omni2.mcp_servers (id) ON DELETE CASCADE,
	namespace_id	bigint REFERENCES omni2.namespaces (id) ON DELETE CASCADE,
	transport	text NOT NULL,
	status		text NOT NULL DEFAULT 'active'
			CHECK (status IN ('active', 'inactive', 'closed', 'error')),
	metadata	jsonb NOT NULL DEFAULT '{}',
	created_at	timestamptz NOT NULL DEFAULT now(),
	last_activity	timestamptz NOT NULL DEFAULT now(),
	expires_at	timestamptz
);
CREATE INDEX mcp_sessions_expiry ON omni2.mcp_sessions (expires_at);

CREATE TABLE omni2.mcp_session_events (
	id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	org_id		bigint NOT NULL REFERENCES omni2.organisations (id),
	session_id	text NOT NULL REFERENCES omni2.mcp_sessions (id) ON DELETE CASCADE,
	type		text NOT NULL,
	data		text NOT NULL DEFAULT '',
	ts		timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX mcp_session_events_session ON omni2.mcp_session_events (session_id, id);

CREATE TABLE omni2.login_sessions (
	id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	org_id		bigint NOT NULL REFERENCES omni2.organisations (id),
	user_id		bigint NOT NULL REFERENCES omni2.users (id) ON DELETE CASCADE,
	refresh_sha256	bytea NOT NULL UNIQUE,
	client		text NOT NULL DEFAULT '',
	user_agent	text NOT NULL DEFAULT '',
	created_at	timestamptz NOT NULL DEFAULT now(),
	expires_at	timestamptz NOT NULL,
	revoked_at	timestamptz
);

CREATE TABLE omni2.conversations (
	id		uuid PRIMARY KEY,
	org_id		bigint NOT NULL REFERENCES omni2.organisations (id),
	user_id		bigint NOT NULL REFERENCES omni2.users (id) ON DELETE CASCADE,
	source		text NOT NULL DEFAULT '',
	thread		text,		-- Slack channel and thread_ts
	created_at	timestamptz NOT NULL DEFAULT now(),
	last_activity	timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX conversations_user ON omni2.conversations (user_id, last_activity);
CREATE UNIQUE INDEX conversations_thread ON omni2.conversations (org_id, thread)
	WHERE thread IS NOT NULL;

CREATE TABLE omni2.messages (
	id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	org_id		bigint NOT NULL REFERENCES omni2.organisations (id),
	conversation_id	uuid NOT NULL REFERENCES omni2.conversations (id) ON DELETE CASCADE,
	role		text NOT NULL CHECK (role IN ('user', 'assistant')),
	content		text NOT NULL,
	feedback	smallint,
	created_at	timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX messages_conversation ON omni2.messages (conversation_id, id);

-- What a chat request adds to its audit record (audit_log.id).
CREATE TABLE omni2.chat_requests (
	audit_id	uuid PRIMARY KEY,
	org_id		bigint NOT NULL REFERENCES omni2.organisations (id),
	ts		timestamptz NOT NULL DEFAULT now(),
	conversation_id	uuid,
	request_type	text NOT NULL DEFAULT 'chat',
	message		text NOT NULL DEFAULT '',
	message_preview	varchar(200) NOT NULL DEFAULT '',
	response_preview text NOT NULL DEFAULT '',
	model		text NOT NULL DEFAULT '',
	iterations	integer NOT NULL DEFAULT 0,
	tool_calls_count integer NOT NULL DEFAULT 0,
	tools_used	text[] NOT NULL DEFAULT '{}',
	mcps_accessed	text[] NOT NULL DEFAULT '{}',
	databases_accessed text[] NOT NULL DEFAULT '{}',
	tool_history	jsonb NOT NULL DEFAULT '[]',
	tokens_input	bigint NOT NULL DEFAULT 0,
	tokens_output	bigint NOT NULL DEFAULT 0,
	tokens_cached	bigint NOT NULL DEFAULT 0,
	cost_estimate	numeric(10,6) NOT NULL DEFAULT 0,
	warning		text,
	slack_channel	text,
	slack_user_id	text,
	slack_message_ts text,
	slack_thread_ts	text
);
CREATE INDEX chat_requests_ts ON omni2.chat_requests (ts);

CREATE TABLE omni2.jobs (
	id		uuid PRIMARY KEY,
	org_id		bigint NOT NULL REFERENCES omni2.organisations (id),
	user_id		bigint REFERENCES omni2.users (id) ON DELETE CASCADE,
	kind		text NOT NULL,
	status		text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued',
			'running', 'completed', 'failed', 'cancelled', 'timeout')),
	request		jsonb NOT NULL,
	result		jsonb,
	error		text,
	progress	text NOT NULL DEFAULT '',
	attempts	integer NOT NULL DEFAULT 0,
	max_attempts	integer NOT NULL DEFAULT 2,
	run_at		timestamptz NOT NULL DEFAULT now(),
	locked_by	text,
	locked_until	timestamptz,
	cancel_requested boolean NOT NULL DEFAULT false,
	notify		jsonb NOT NULL DEFAULT '{}',
	created_at	timestamptz NOT NULL DEFAULT now(),
	finished_at	timestamptz
);
CREATE INDEX jobs_next ON omni2.jobs (run_at) WHERE status = 'queued';
CREATE INDEX jobs_finished ON omni2.jobs (finished_at);

CREATE TABLE omni2.webhooks (
	id		bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	org_id		bigint NOT NULL REFERENCES omni2.organisations (id),
	url		text NOT NULL,
	events		text[] NOT NULL,
	secret		text,		-- signs the deliveries
	is_active	boolean NOT NULL DEFAULT true,
	created_at	timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE omni2.notifications (
	id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	org_id		bigint NOT NULL REFERENCES omni2.organisations (id),
	user_id		bigint REFERENCES omni2.users (id) ON DELETE CASCADE,
	type		text NOT NULL,
	severity	text NOT NULL DEFAULT 'info',
	body		jsonb NOT NULL DEFAULT '{}',
	created_at	timestamptz NOT NULL DEFAULT now(),
	read_at		timestamptz
);

-- The names under which the documents query the log.
CREATE VIEW omni2.audit_logs AS
SELECT a.id, u.id AS user_id, a.principal AS user_email, a.ts AS "timestamp",
       c.message AS question,
       coalesce(c.request_type, a.method) AS request_type,
       coalesce(c.message, '') AS message,
       coalesce(c.message_preview, '') AS message_preview,
       coalesce(c.iterations, 0) AS iterations,
       coalesce(c.tool_calls_count, (a.method = 'tools/call')::integer)
       AS tool_calls_count,
       coalesce(c.tools_used, CASE WHEN a.method = 'tools/call'
           THEN ARRAY[a.server || '.' || a.object] ELSE '{}' END) AS tools_used,
       coalesce(c.mcps_accessed, CASE WHEN a.server <> ''
           THEN ARRAY[a.server] ELSE '{}' END) AS mcps_accessed,
       coalesce(c.databases_accessed, '{}') AS databases_accessed,
       coalesce(c.tokens_input, 0) AS tokens_input,
       coalesce(c.tokens_output, 0) AS tokens_output,
       coalesce(c.tokens_cached, 0) AS tokens_cached,
       coalesce(c.cost_estimate, 0) AS cost_estimate,
       nullif(a.server, '') AS mcp_target,
       nullif(a.object, '') AS tool_called,
       omni2.try_jsonb(a.record) -> 'arguments' AS tool_params,
       a.result = 'success' AS success,
       CASE WHEN c.warning IS NOT NULL THEN 'warning'
            WHEN a.result = 'success' THEN 'success' ELSE 'error' END AS status,
       upper(a.result) AS result,
       c.warning, a.duration_us / 1000 AS duration_ms,
       c.response_preview AS result_summary,
       coalesce(c.response_preview, left(a.error, 500)) AS response_preview,
       nullif(a.error, '') AS error_message,
       c.slack_channel, c.slack_user_id, c.slack_message_ts, c.slack_thread_ts,
       a.source, omni2.try_inet(a.client) AS ip_address, a.user_agent,
       a.decision <> 'allow' AS was_blocked,
       CASE WHEN a.decision <> 'allow' THEN a.rule END AS block_reason,
       a.ts AS created_at, a.org, a.role, a.node, a.seq, a.trace_id
  FROM omni2.audit_log a
  LEFT JOIN omni2.organisations o ON o.name = a.org
  LEFT JOIN omni2.users u ON u.org_id = o.id AND u.email = a.principal
  LEFT JOIN omni2.chat_requests c ON c.audit_id = a.id;

INSERT INTO omni2.schema_migrations (version, name) VALUES (3, 'product');
