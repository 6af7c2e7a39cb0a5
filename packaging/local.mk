# What is shipped beside the programs; nothing here is installed.
EXTRA_DIST += \
	%D%/lib.sh \
	%D%/node/package-lock.json \
	%D%/node/package.json \
	%D%/quickstart
