# Migrations: installed for "omni2ctl db migrate", and usable with psql -f.
sqldir = $(pkgdatadir)/sql
dist_sql_DATA = \
	%D%/0001_schema.sql \
	%D%/0002_audit.sql \
	%D%/0003_product.sql
