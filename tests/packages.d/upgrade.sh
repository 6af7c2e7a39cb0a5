# upgrade.sh -- tests/packages: to the next version of omni2 and back.
#
# Sourced by tests/packages. The next version is built of a copy of the source
# with one migration more: a table, a column with data of what is there, and
# an index. The database of the walk is at the version before when these steps
# begin, and at the next one when they end.

later_sql=0004_later.sql

# deb_later TREE: that package, in TREE/later.
deb_later()
{
	local tree=$1 source=$1/later/omni2-$version from to

	mkdir -p "$tree/later" &&
		tar -xf "$work/omni2-$version.tar.xz" -C "$tree/later" &&
		cp -r "$source/packaging/debian" "$source/" || return
	from=$(sed -n 's/^#define STORE_SCHEMA[[:blank:]]*//p' \
	    "$source/src/store/store.h")
	to=$((from + 1))
	later_sql=$(printf '%04d_later.sql' $to)
	cat >"$source/sql/$later_sql" <<-'END' || return
	-- What the service would serve if it were half there.
	CREATE TABLE omni2.later (
		id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		note	text NOT NULL
	);
	INSERT INTO omni2.later (note) VALUES ('made by the migration');
	ALTER TABLE omni2.users ADD COLUMN later text;
	UPDATE omni2.users SET later = 'was ' || email;
	ALTER TABLE omni2.users ALTER COLUMN later SET NOT NULL,
		ALTER COLUMN later SET DEFAULT 'new';
	CREATE INDEX users_later ON omni2.users (later);
	END
	sed -i "s/^\(#define STORE_SCHEMA[[:blank:]]*\).*/\1$to/" \
	    "$source/src/store/store.h" &&
		sed -i "s|\(%D%/$(printf %04d "$from")_.*sql\)|\1 \\\\\n\t%D%/$later_sql|" \
		    "$source/sql/local.mk" &&
		sed -i "s/^AC_INIT(\[omni2\], \[$version\]/AC_INIT([omni2], [$version.1]/" \
		    "$source/configure.ac" &&
		sed -i "1s/($version-1)/($version.1-1)/" \
		    "$source/debian/changelog" &&
		in_tree "$tree" chown -R builder: /later &&
		as_builder "$tree" DEB_BUILD_OPTIONS="parallel=$(nproc) nocheck" \
		    sh -c 'cd "$1" && dpkg-buildpackage -us -uc -b' build \
		    "/later/omni2-$version" || return
	dpkg-deb -c "$tree/later/omni2_$version.1-1_"*.deb |
		grep "/usr/share/omni2/sql/$later_sql\$"
}

# schema: the newest migration that the database of the walk has seen.
schema()
{
	database 'SELECT max(version) FROM omni2.schema_migrations'
}

# What the migration did is there, all of it.
is_migrated()
{
	[ "$(schema)" = $((schema_before + 1)) ] &&
		[ "$(database 'SELECT count(*) FROM omni2.later')" = 1 ] &&
		[ "$(database "SELECT count(*) FROM omni2.users
		    WHERE later = 'was ' || email")" = "$users_before" ]
}

# Nothing of it is.
is_not_migrated()
{
	[ "$(schema)" = "$schema_before" ] &&
		[ "$(database "SELECT count(*) FROM information_schema.columns
		    WHERE table_schema = 'omni2' AND column_name = 'later'")" \
		    = 0 ]
}

runs_version()
{
	says "omni2d $1" box sh -c \
	    '"/proc/$(systemctl show -P MainPID omni2.service)/exe" -V' &&
		is_ready
}

# one_line FILE WORD...: a line of the file has all of the words.
one_line()
{
	local file=$1 word lines

	shift
	lines=$(cat "$file")
	for word in "$@"; do
		lines=$(printf '%s\n' "$lines" | grep -F -e "$word") || {
			cat "$file"
			echo "(no line with $*)"
			return 1
		}
	done
}

# Who does it: the service, before it starts the new daemon. The one before has
# ended by then, so none runs beside tables that it does not know.
upgrade_under_load()
{
	local since

	schema_before=$(schema)
	users_before=$(database 'SELECT count(*) FROM omni2.users')
	[ "$users_before" -ge 2 ] && box omni2ctl backup /root/before.tar.gz &&
		load || return
	since=$(box date '+%F %T')
	box apt-get install -qy /root/later.deb || return
	until_true 20 runs_version "$version.1" && no_failures &&
		is_migrated || return
	says "applied $later_sql" box journalctl --no-pager -u omni2.service \
	    --since "$since" && box omni2ctl db status &&
		call demo__whoami '{}' | grep -q '"text":"uid '
}

# While the newer one runs, the package before it is not installed over it:
# it would only fail to start.
downgrade_refused()
{
	load || return
	box apt-get install -qy --allow-downgrades /root/omni2.deb \
	    >"$work/refused" 2>&1 && { cat "$work/refused"; return 1; }
	one_line "$work/refused" "not installed: the tables" \
	    "version $(schema)" "knows $schema_before" "upgrading.md" || return
	until_true 20 runs_version "$version.1" && no_failures &&
		is_migrated && says 'install ok installed' box dpkg -s omni2 &&
		says "$version.1-1" box dpkg -s omni2
}

# Where it comes there nevertheless, the service refuses; so do the programs.
# The way back is the backup made before the upgrade.
downgrade()
{
	local status

	to_version_before || return
	box systemctl start omni2.service omni2.socket
	until_true 20 failed_with 76 || return
	[ "$(box systemctl show -P NRestarts omni2.service)" = 0 ] || return
	box systemctl status --no-pager -l omni2.service >"$work/refused"
	one_line "$work/refused" 'of a newer omni2' 'install that one' \
	    'restore a backup' || return
	box runuser -u omni2 -- omni2d -t -c /etc/omni2/omni2.yaml \
	    >"$work/refused" 2>&1
	status=$?
	[ $status -eq 76 ] && one_line "$work/refused" 'of a newer omni2' \
	    'install that one' 'restore a backup' || return
	box omni2ctl db migrate >"$work/refused" 2>&1
	status=$?
	[ $status -eq 6 ] && one_line "$work/refused" 'of a newer omni2' \
	    'install that one' 'restore a backup' && is_migrated &&
		restore_before
}

# The package before, on the tables of the next one.
to_version_before()
{
	box systemctl stop omni2.socket omni2.service
	box apt-get install -qy --allow-downgrades /root/omni2.deb &&
		says "Version: $version-1" box dpkg -s omni2
}

restore_before()
{
	box systemctl stop omni2.socket omni2.service
	box omni2ctl restore --force /root/before.tar.gz &&
		box systemctl reset-failed &&
		box systemctl start omni2.socket omni2.service &&
		until_true 20 runs_version "$version" && is_not_migrated &&
		until_true 30 says '"text":"uid ' call demo__whoami '{}'
}

# Something is in the way of the migration: nothing of it stays, nobody is
# served by half a schema, and once it is mended omni2 goes on by itself.
migration_fails()
{
	database "CREATE TABLE omni2.later (in_the_way integer)" || return
	box apt-get install -qy /root/later.deb
	until_true 20 not_ready_says 'Database unavailable' || return
	[ "$(call demo__whoami '{}' | tail -n 1)" = 503 ] || return
	database "DROP TABLE omni2.later"
	is_not_migrated || return
	box journalctl --no-pager -n 50 -u omni2.service >"$work/refused"
	one_line "$work/refused" "$later_sql" 'already exists' || return
	box systemctl status --no-pager -l omni2.service >"$work/refused"
	one_line "$work/refused" "version $schema_before" 'omni2ctl db migrate' ||
		return
	box omni2ctl db migrate && until_true 20 runs_version "$version.1" &&
		is_migrated &&
		until_true 30 says '"text":"uid ' call demo__whoami '{}' &&
		to_version_before && restore_before
}

# The other order, by hand: the new files and tables are there while the daemon
# before still runs. It serves on, takes no changes over and says why.
schema_ahead()
{
	load && box dpkg --unpack /root/later.deb &&
		box omni2ctl db migrate && is_migrated &&
		until_true 20 runs_version "$version" || return
	box systemctl reload omni2.service && return 1
	box systemctl status --no-pager -l omni2.service >"$work/refused"
	one_line "$work/refused" 'of a newer omni2' 'install that one' ||
		return
	call demo__whoami '{}' | grep -q '"text":"uid ' &&
		call demo__shutdown '{}' | tail -n 1 | grep -qx 403 &&
		box dpkg --configure omni2 || return
	until_true 20 runs_version "$version.1" && no_failures &&
		is_migrated && box systemctl reload omni2.service
}
