-- 0002: the audit log, its chain, the request log and the change log.
--
-- Logs carry names, not foreign keys: they outlive what they are about.
-- audit_log.record is the exact text that was hashed; the other columns are
-- copies of its members, to search by. hash = SHA-256 (prev_hash || seq as
-- eight bytes, highest first || SHA-256 (record)); the first prev_hash is 32
-- zeros.

CREATE TABLE omni2.audit_log (
	ts		timestamptz NOT NULL,
	node		text NOT NULL,
	seq		bigint NOT NULL,
	id		uuid NOT NULL,
	org		text NOT NULL DEFAULT '',
	principal	text NOT NULL DEFAULT '',
	role		text NOT NULL DEFAULT '',
	credential	text NOT NULL DEFAULT '',
	source		text NOT NULL DEFAULT '',
	client		text NOT NULL DEFAULT '',
	user_agent	text NOT NULL DEFAULT '',
	trace_id	text NOT NULL DEFAULT '',
	session		text NOT NULL DEFAULT '',
	method		text NOT NULL DEFAULT '',
	server		text NOT NULL DEFAULT '',
	object		text NOT NULL DEFAULT '',
	decision	text NOT NULL DEFAULT '',
	rule		text NOT NULL DEFAULT '',
	result		text NOT NULL DEFAULT '',
	http_status	integer NOT NULL DEFAULT 0,
	rpc_code	integer NOT NULL DEFAULT 0,
	error		text NOT NULL DEFAULT '',
	duration_us	bigint NOT NULL DEFAULT 0,
	upstream_us	bigint NOT NULL DEFAULT 0,
	request_bytes	bigint NOT NULL DEFAULT 0,
	response_bytes	bigint NOT NULL DEFAULT 0,
	record		text NOT NULL,
	prev_hash	bytea NOT NULL,
	hash		bytea NOT NULL,
	PRIMARY KEY (node, seq, ts),
	UNIQUE (id, ts)
) PARTITION BY RANGE (ts);
CREATE INDEX audit_log_ts ON omni2.audit_log (ts);
CREATE INDEX audit_log_principal ON omni2.audit_log (principal, ts);
CREATE TABLE omni2.audit_log_default PARTITION OF omni2.audit_log DEFAULT;

-- Head of each node's chain. Locked by whoever appends.
CREATE TABLE omni2.audit_chain (
	node		text PRIMARY KEY,
	seq		bigint NOT NULL,
	hash		bytea NOT NULL,
	changed_at	timestamptz NOT NULL DEFAULT now()
);

-- How far a journal was read, in the transaction that stored its records.
-- pending: frames of records that had begun but not ended there.
CREATE TABLE omni2.audit_position (
	node		text NOT NULL,
	journal		text NOT NULL,	-- identity of the journal directory
	segment		bigint NOT NULL,
	"offset"	bigint NOT NULL,
	pending		bytea NOT NULL DEFAULT '',
	changed_at	timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (node, journal)
);

-- Records that PostgreSQL would not take as a row of audit_log.
CREATE TABLE omni2.audit_rejected (
	id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	node		text NOT NULL,
	journal		text NOT NULL,
	segment		bigint NOT NULL,	-- where the batch ended
	"offset"	bigint NOT NULL,
	reason		text NOT NULL,
	record		bytea NOT NULL,
	rejected_at	timestamptz NOT NULL DEFAULT now()
);

-- kind 'head': the chain stood here; 'pruned': up to here rows were dropped
-- by retention. mac: HMAC-SHA256, key derived from auth.token_secret.
CREATE TABLE omni2.audit_checkpoint (
	id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	node		text NOT NULL,
	kind		text NOT NULL CHECK (kind IN ('head', 'pruned')),
	seq		bigint NOT NULL,
	hash		bytea NOT NULL,
	mac		bytea,		-- NULL: no key was configured
	created_at	timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_checkpoint_node ON omni2.audit_checkpoint (node, seq);

CREATE TABLE omni2.request_log (
	ts		timestamptz NOT NULL,
	id		uuid NOT NULL,
	node		text NOT NULL,
	level		text NOT NULL,
	org		text NOT NULL DEFAULT '',
	principal	text NOT NULL DEFAULT '',
	method		text NOT NULL,
	path		text NOT NULL,
	query		text NOT NULL DEFAULT '',
	status_code	integer NOT NULL,
	duration_us	bigint NOT NULL,
	remote_ip	text NOT NULL DEFAULT '',
	user_agent	text NOT NULL DEFAULT '',
	request_bytes	bigint NOT NULL DEFAULT 0,
	response_bytes	bigint NOT NULL DEFAULT 0,
	trace_id	text NOT NULL DEFAULT '',
	PRIMARY KEY (id, ts)
) PARTITION BY RANGE (ts);
CREATE INDEX request_log_ts ON omni2.request_log (ts);
CREATE TABLE omni2.request_log_default PARTITION OF omni2.request_log DEFAULT;

CREATE TABLE omni2.health_log (
	id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	org_id		bigint NOT NULL REFERENCES omni2.organisations (id),
	server_id	bigint NOT NULL REFERENCES omni2.mcp_servers (id) ON DELETE CASCADE,
	ts		timestamptz NOT NULL DEFAULT now(),
	event_type	text NOT NULL DEFAULT 'health_check',
	status		text NOT NULL,
	response_time_ms bigint,
	error_message	text,
	metadata	jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX health_log_server ON omni2.health_log (server_id, ts);

-- What administrators changed. old and new are JSON text.
CREATE TABLE omni2.change_log (
	id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	ts		timestamptz NOT NULL DEFAULT now(),
	org		text NOT NULL DEFAULT 'default',
	actor		text NOT NULL,
	action		text NOT NULL,
	object		text NOT NULL,
	old_value	jsonb,
	new_value	jsonb
);
CREATE INDEX change_log_ts ON omni2.change_log (ts);

-- Monthly partitions from this month to the given number of months ahead.
-- A month whose rows lie in the default partition already stays there.
CREATE FUNCTION omni2.ensure_partitions(ahead integer) RETURNS integer
LANGUAGE plpgsql SET search_path = omni2, pg_temp AS $$
DECLARE
	parent	text;
	first	timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
	month	timestamp;
	child	text;
	made	integer := 0;
BEGIN
	FOREACH parent IN ARRAY ARRAY['audit_log', 'request_log'] LOOP
		FOR i IN 0 .. ahead LOOP
			month := first + make_interval(months => i);
			child := parent || to_char(month, '"_"YYYY"_"MM');
			CONTINUE WHEN to_regclass('omni2.' || child) IS NOT NULL;
			BEGIN
				EXECUTE format('CREATE TABLE omni2.%I PARTITION OF '
				    'omni2.%I FOR VALUES FROM (%L) TO (%L)',
				    child, parent, month::text || '+00',
				    (month + interval '1 month')::text || '+00');
				made := made + 1;
			EXCEPTION WHEN check_violation OR duplicate_table THEN
				RAISE NOTICE 'partition % was not made', child;
			END;
		END LOOP;
	END LOOP;
	RETURN made;
END $$;
SELECT omni2.ensure_partitions(3);

-- Partitions whose whole month lies before the given time.
CREATE FUNCTION omni2.expired_partitions(parent text, before timestamptz)
RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = omni2, pg_temp AS $$
	SELECT c.relname::text
	  FROM pg_catalog.pg_inherits i
	  JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
	 WHERE i.inhparent = to_regclass('omni2.' || parent)
	   AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
	   AND (to_date(right(c.relname, 7), 'YYYY_MM')::timestamp
	       + interval '1 month') AT TIME ZONE 'UTC' <= before
	 ORDER BY 1
$$;

-- JSON that jsonb does not take (\u0000, lone surrogates, huge numbers) must
-- not make the whole query fail.
CREATE FUNCTION omni2.try_jsonb(t text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	RETURN t::jsonb;
EXCEPTION WHEN others THEN
	RETURN NULL;
END $$;

CREATE FUNCTION omni2.try_inet(t text) RETURNS inet
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	RETURN nullif(t, '')::inet;
EXCEPTION WHEN others THEN
	RETURN NULL;
END $$;

INSERT INTO omni2.schema_migrations (version, name) VALUES (2, 'audit');
