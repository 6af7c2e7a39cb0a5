/*
 * record_read -- the columns of a record, read in one pass: what
 * audit_record_json() writes, and only that. Pure; shipper and verification.
 *
 * Says no to anything that is not written in just that way (order, spacing,
 * escapes), though it may be a good record; chain_row() then takes the long
 * way. Where it says yes, both give the same columns.
 */
#ifndef OMNI2_AUDIT_RECORD_READ_H
#define OMNI2_AUDIT_RECORD_READ_H

#include "store/auditlog.h"

/* Fills row->v with spans into the record, and plain, record_plain. */
bool	record_read(struct span record, struct auditlog_row *row);

#endif
