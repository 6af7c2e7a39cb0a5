/*
 * secret -- the key for bearer tokens and session ids when none is configured:
 * made once, kept in <state_dir>/token_secret (mode 0600).
 */
#ifndef OMNI2_PROC_SECRET_H
#define OMNI2_PROC_SECRET_H

#include "base/err.h"
#include "conf/conf.h"

/* Fills conf->token_secret if it is empty. Loader and omni2ctl. */
int	secret_token(struct conf *, struct err *);

#endif
