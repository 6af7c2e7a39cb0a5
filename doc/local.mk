# Documents for operators; doc/index.md is the way in.
dist_doc_DATA = HACKING \
	%D%/adding-a-server.md \
	%D%/architecture.md \
	%D%/development.md \
	%D%/environment.md \
	%D%/http.md \
	%D%/index.md \
	%D%/monitoring.md \
	%D%/production.md \
	%D%/quickstart.md \
	%D%/rest.md \
	%D%/security.md \
	%D%/troubleshooting.md \
	%D%/upgrading.md
monitoringdir = $(docdir)/monitoring
dist_monitoring_DATA = \
	%D%/monitoring/alerts.yml \
	%D%/monitoring/grafana.json \
	%D%/monitoring/prometheus.yml

# What the documents say is held against the tables of the sources.
TESTS += tests/unit/man_examples
EXTRA_DIST += tests/unit/man_examples tests/unit/alerts_test.yml

# Each shell is asked what it completes.
completion_tests = tests/unit/completion_bash tests/unit/completion_fish \
	tests/unit/completion_zsh
TESTS += $(completion_tests)
EXTRA_DIST += $(completion_tests)
