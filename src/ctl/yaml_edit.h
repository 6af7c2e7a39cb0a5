/*
 * yaml_edit -- puts single settings into a configuration file that people
 * write by hand: what they wrote stays, byte for byte. Pure.
 */
#ifndef OMNI2_CTL_YAML_EDIT_H
#define OMNI2_CTL_YAML_EDIT_H

#include "base/buf.h"
#include "base/err.h"

enum yaml_edit {
	YAML_EDIT_ABSENT,	/* not there, or only as a comment */
	YAML_EDIT_PLACEHOLDER,	/* empty, or of a variable that is not set */
	YAML_EDIT_GIVEN,
	YAML_EDIT_BROKEN	/* the file is no YAML; err says where */
};

/* What the file says about section.key. */
enum yaml_edit yaml_edit_look(struct span text, const char *section,
	    const char *key, struct err *);
/* The value as it is written, without quotes; malloc'ed. NULL: not there. */
char	*yaml_edit_get(struct span text, const char *section, const char *key);
/*
 * Adds "key: value" to the section: below the commented key if there is one,
 * below the placeholder (which becomes a comment), at the beginning of the
 * section, or with a new section at the end. -1: CONFLICT, it is given;
 * INVALID, the file is not in a form that can be edited so.
 */
int	yaml_edit_set(struct buf *text, const char *section, const char *key,
	    const char *value, struct err *);
/* Makes a placeholder a comment. Nothing happens if it is none. */
int	yaml_edit_drop(struct buf *text, const char *section, const char *key,
	    struct err *);
/* "key: value" as it would be written. */
void	yaml_edit_line(struct buf *, const char *key, const char *value);

#endif
