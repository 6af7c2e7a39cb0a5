# Samples to copy to $(sysconfdir)/omni2; an installation never overwrites
# what an administrator wrote there.
examplesdir = $(pkgdatadir)/examples
dist_examples_DATA = %D%/omni2.yaml %D%/mcps.yaml %D%/users.yaml
