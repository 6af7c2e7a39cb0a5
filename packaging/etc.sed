# Makes the configuration of packages from conf/omni2.yaml: omni2d makes its own
# token secret, and stdio servers run in units of their own. What the database
# is only the administrator knows: "omni2ctl setup" writes that.
s|^  \(token_secret: .*OMNI2_TOKEN_SECRET.*\)|  #\1|
s|^  #launcher: .*|  launcher: @PKGLIBEXECDIR@/omni2-stdio|
