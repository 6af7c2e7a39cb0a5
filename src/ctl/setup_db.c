/*
 * setup_db -- the database of omni2ctl setup: a role and a database on the
 * PostgreSQL of this machine, the tables, the first administrator.
 *
 * PostgreSQL lets its own system user in without a password (peer
 * authentication), and afterwards the daemon's user under the same name, so
 * no password is made, stored or asked for. root takes on the identity of
 * either user for the moment of connecting only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/auth.h"
#include "base/arena.h"
#include "ctl/ready.h"
#include "ctl/screen.h"
#include "ctl/setup.h"
#include "store/admin.h"

#define ORG		"default"
#define DATABASE	"omni2"
#define POSTGRES	"postgres"
#define TIMEOUT_MS	60000

/* ---- a PostgreSQL of this machine ---------------------------------------- */

static bool
is_socket_dir(const char *dir, const char *port)
{
	struct stat st;

	return stat(ctl_text("%s/.s.PGSQL.%s", dir, port), &st) == 0 &&
	    S_ISSOCK(st.st_mode);
}

/* key='value', with the quotes only where they are needed. */
static const char *
setting(const char *key, const char *value)
{
	struct buf b;
	const char *kept;

	buf_init(&b, 4096);
	buf_printf(&b, "%s=", key);
	if (strpbrk(value, " '\\") == NULL)
		buf_add_str(&b, value);
	else {
		buf_add_char(&b, '\'');
		for (; *value != '\0'; value++) {
			if (*value == '\'' || *value == '\\')
				buf_add_char(&b, '\\');
			buf_add_char(&b, *value);
		}
		buf_add_char(&b, '\'');
	}
	kept = ctl_text("%.*s", (int)b.n, b.p);
	buf_free(&b);
	return kept;
}

static const char *
conninfo_of(const struct setup *s, const char *role, const char *database)
{
	bool is_usual = strcmp(s->port, "5432") == 0;

	return ctl_text("%s%s%s %s %s", setting("host", s->socket_dir),
	    is_usual ? "" : " port=", is_usual ? "" : s->port,
	    setting("user", role), setting("dbname", database));
}

void
setup_find_local(struct setup *s)
{
	static const char *const places[] = { "/run/postgresql",
	    "/var/run/postgresql", "/tmp" };
	const char *host = getenv("PGHOST"), *port = getenv("PGPORT");
	size_t i;

	s->port = port != NULL && port[0] != '\0' ? port : "5432";
	if (host != NULL && host[0] == '/')
		s->socket_dir = host;
	for (i = 0; i < 3 && s->socket_dir == NULL; i++)
		if (is_socket_dir(places[i], s->port))
			s->socket_dir = places[i];
	if (s->socket_dir == NULL || !is_socket_dir(s->socket_dir, s->port))
		ctl_fail(EXIT_UNREACHABLE, "no PostgreSQL runs on this machine "
		    "(there is no socket for port %s); start one, or name "
		    "another with --database CONNINFO", s->port);
	s->url = conninfo_of(s, s->user->pw_name, DATABASE);
}

/* As whoever may make roles and databases. */
static struct db *
connect_admin(const struct setup *s)
{
	const struct passwd *pw = getuid() == 0 ? getpwnam(POSTGRES) : NULL;
	const char *role = getenv("PGUSER");
	struct db *db = NULL;
	struct err first, e;

	err_clear(&first);
	if (pw != NULL) {
		ctl_act_as(pw, true);
		db = db_open(conninfo_of(s, POSTGRES, POSTGRES), TIMEOUT_MS,
		    &first);
		ctl_act_as(pw, false);
	}
	pw = getpwuid(getuid());
	if (role == NULL || role[0] == '\0')
		role = pw != NULL ? pw->pw_name : POSTGRES;
	if (db == NULL)
		db = db_open(conninfo_of(s, role, POSTGRES), TIMEOUT_MS, &e);
	if (db != NULL)
		return db;
	if (first.code == ERR_NONE)
		first = e;
	if (first.code != ERR_DENIED)
		ctl_fail_err(&first);
	ctl_fail(EXIT_DENIED, "cannot make a database on the PostgreSQL in %s "
	    "as %s; be root or its user, or name a database with --database",
	    s->socket_dir, role);
}

static void
make_role(struct setup *s, struct db *db)
{
	const char *role = s->user->pw_name;
	bool exists;
	struct err e;

	if (admin_role_exists(db, role, &exists, &e) < 0)
		ctl_fail_err(&e);
	if (exists) {
		setup_ok(s, "PostgreSQL has the role %s", role);
		return;
	}
	if (!setup_begin(s, "make the role %s in PostgreSQL", role))
		return;
	if (admin_role_create(db, role, &e) < 0)
		ctl_fail_err(&e);
	setup_done(s);
}

static void
make_database(struct setup *s, struct db *db)
{
	const char *role = s->user->pw_name;
	bool exists, may_create;
	struct err e;

	if (admin_database_exists(db, DATABASE, role, &exists, &may_create,
	    &e) < 0)
		ctl_fail_err(&e);
	if (exists && !may_create)
		ctl_fail(EXIT_CONFLICT, "the database " DATABASE " belongs to "
		    "somebody else; as PostgreSQL's administrator: "
		    "ALTER DATABASE " DATABASE " OWNER TO %s", role);
	if (exists) {
		setup_ok(s, "PostgreSQL has the database " DATABASE);
		return;
	}
	if (!setup_begin(s, "make the database " DATABASE))
		return;
	if (admin_database_create(db, DATABASE, role, &e) < 0)
		ctl_fail_err(&e);
	setup_done(s);
}

void
setup_make_local(struct setup *s)
{
	struct db *db;

	if (s->socket_dir == NULL)
		return;			/* the database is somebody else's */
	db = connect_admin(s);
	make_role(s, db);
	make_database(s, db);
	db_close(&db);
}

/* ---- tables -------------------------------------------------------------- */

void
setup_connect(struct setup *s)
{
	struct err e;

	screen_progress("connecting to the database");
	s->c->db = ctl_db_open(s->c, s->url, TIMEOUT_MS, &e);
	screen_progress(NULL);
	if (s->c->db != NULL || (s->dry && s->n_done > 0))
		return;			/* it would be made before */
	if (s->socket_dir != NULL)
		ctl_fail(EXIT_UNREACHABLE, "%s: \"local %s %s peer\"",
		    e.text, DATABASE, s->user->pw_name);
	err_wrap(&e, "\"%s\"", conninfo_shown(s->url));
	ctl_fail_err(&e);
}

void
setup_migrate(struct setup *s)
{
	struct migration_status st;
	struct admin_server server;
	struct buf out;
	struct err e;

	if (s->c->db == NULL) {
		setup_begin(s, "make the tables");
		return;
	}
	if (admin_server(s->c->db, &server, &e) < 0)
		ctl_fail_err(&e);
	if (server.version < 130000)
		ctl_fail(EXIT_FAILED, "PostgreSQL is version %s; omni2 needs "
		    "13 or newer", server.version_text);
	buf_init(&out, 1u << 20);
	if (store_migrate_status(s->c->db, ctl_sql_dir(), &st, &out, &e) < 0)
		ctl_fail_err(&e);
	if (st.current > st.available)
		ctl_fail(EXIT_CONFLICT, "the tables are of a newer omni2 "
		    "(version %d, this one knows %d); " STORE_NEWER_HINT,
		    st.current, st.available);
	s->has_tables = st.pending == 0;
	if (s->has_tables)
		setup_ok(s, "the tables are up to date (version %d)",
		    st.current);
	else if (setup_begin(s, st.current <= 0 ? "make the tables" :
	    "bring the tables from version %d to %d", st.current,
	    st.available)) {
		if (store_migrate(s->c->db, ctl_sql_dir(), &out, &e) < 0)
			ctl_fail_err(&e);
		setup_done(s);
	}
	buf_free(&out);
}

/* ---- the administrator --------------------------------------------------- */

static bool
may_administrate(const struct model *m, const struct model_user *u)
{
	const struct model_role *r = model_find_role(m, u->org, u->role);

	return u->active && r != NULL && (r->is_admin || r->is_super);
}

/* Somebody who may already. */
static const struct model_user *
any_admin(const struct model *m)
{
	size_t i;

	for (i = 0; i < m->n_users; i++)
		if (may_administrate(m, &m->user[i]))
			return &m->user[i];
	return NULL;
}

static void
add_admin(struct setup *s)
{
	struct model_user u = { .org = xstrdup(ORG), .active = true,
	    .email = xstrdup(s->admin), .name = xstrdup("Administrator"),
	    .role = xstrdup("admin"), .requests_per_hour = -1,
	    .slack_user_id = xstrdup("") };
	struct err e;

	if (store_user_put(s->c->db, &u, true, &e) < 0 ||
	    store_change_log(s->c->db, ctl_actor(), "user add", s->admin, NULL,
	    "{\"role\":\"admin\"}", &e) < 0)
		ctl_fail_err(&e);
	setup_done(s);
}

static void
add_key(struct setup *s)
{
	static char text[APIKEY_TEXT_SIZE];
	uint8_t digest[32];
	char prefix[16];
	struct err e;
	int64_t id;

	apikey_new(text, digest, prefix);
	if (store_key_add(s->c->db, ORG, s->admin, "setup", digest, prefix, 0,
	    &id, &e) < 0 ||
	    store_change_log(s->c->db, ctl_actor(), "key create", s->admin,
	    NULL, ctl_text("{\"id\":%lld,\"prefix\":\"%s\"}", (long long)id,
	    prefix), &e) < 0)
		ctl_fail_err(&e);
	s->key = text;
	setup_done(s);
}

static bool
has_key(struct setup *s)
{
	int64_t n;
	struct err e;

	if (admin_keys_of(s->c->db, ORG, s->admin, &n, &e) < 0)
		ctl_fail_err(&e);
	return n > 0;
}

/* Nothing is known of who is there. */
static void
foresee_admin(struct setup *s)
{
	if (s->admin == NULL)
		s->admin = "admin@localhost";
	setup_begin(s, "make the administrator %s, with an API key", s->admin);
}

void
setup_admin(struct setup *s)
{
	const struct model_user *u;
	unsigned before = s->n_done;
	struct err e;

	if (s->dry && !(s->loaded && s->has_tables)) {
		foresee_admin(s);
		return;
	}
	if (!s->dry)
		ctl_model_seeded(s->c);
	else if (store_load(s->c->db, &s->c->model, &e) < 0)
		ctl_fail_err(&e);
	u = s->admin != NULL ? model_find_user(&s->c->model, ORG, s->admin) :
	    any_admin(&s->c->model);
	if (s->admin == NULL)
		s->admin = u != NULL ? ctl_text("%s", u->email) :
		    "admin@localhost";
	if (u != NULL && !may_administrate(&s->c->model, u))
		ctl_fail(EXIT_CONFLICT, "the user %s is there, with the role "
		    "%s; \"omni2ctl user set %s --role admin\" makes it an "
		    "administrator", u->email, u->role, u->email);
	if (u != NULL)
		setup_ok(s, "%s is an administrator (role %s)", u->email,
		    u->role);
	else if (setup_begin(s, "make the administrator %s", s->admin))
		add_admin(s);
	if (u != NULL && has_key(s))
		setup_ok(s, "%s has an API key; another one: omni2ctl key "
		    "create %s", s->admin, s->admin);
	else if (setup_begin(s, "make an API key for %s", s->admin))
		add_key(s);
	if (!s->dry && s->n_done > before)
		ctl_changed(s->c);
}
