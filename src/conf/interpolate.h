/*
 * interpolate -- ${VAR} in values of the configuration.
 *
 * Works on scalar values after YAML was parsed, so that a value of the
 * environment can never become YAML. Forms: ${VAR}, ${VAR:-default},
 * ${VAR:?message}, $$ for one dollar sign. An unset variable is an error;
 * errors name the variable, never its value.
 */
#ifndef OMNI2_CONF_INTERPOLATE_H
#define OMNI2_CONF_INTERPOLATE_H

#include "conf/yaml_tree.h"

/* Replaces the text of every scalar value; raw stays as written. */
void	interpolate_doc(struct yaml_doc *, struct arena *,
	    struct conf_report *);

#endif
