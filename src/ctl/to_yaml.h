/*
 * to_yaml -- what the commands print as JSON, as YAML. Pure.
 */
#ifndef OMNI2_CTL_TO_YAML_H
#define OMNI2_CTL_TO_YAML_H

#include "base/buf.h"

/*
 * Appends each JSON value of the text as one YAML document; *documents counts
 * on, and from the second on they begin with "---". -1 if something in it is
 * no JSON; what is before that was converted.
 */
int	json_to_yaml(struct span text, struct buf *out, unsigned *documents);

#endif
