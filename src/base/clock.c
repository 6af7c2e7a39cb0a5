/*
 * clock -- wall time as text.
 *
 * Every process. Own calendar arithmetic (days to civil date, proleptic
 * Gregorian): gmtime_r(3) may take a lock and read the time zone file, and
 * log lines are written in signal-like places too.
 */
#include "base/clock.h"

#include <stdio.h>

char *
clock_format_iso(char *out, unsigned long size, int64_t wall_us)
{
	int64_t us = wall_us % 1000000, s = wall_us / 1000000;
	int64_t day, era, doe, yoe, doy, mp, year, month;

	if (us < 0) {
		us += 1000000;
		s--;
	}
	day = s / 86400;
	s %= 86400;
	if (s < 0) {
		s += 86400;
		day--;
	}
	/* Years begin in March here, so the leap day is the last of a year;
	 * an era is 400 years, 146097 days. */
	day += 719468;
	era = (day >= 0 ? day : day - 146096) / 146097;
	doe = day - era * 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	month = mp < 10 ? mp + 3 : mp - 9;
	year = yoe + era * 400 + (month <= 2 ? 1 : 0);
	snprintf(out, size, "%04lld-%02d-%02dT%02d:%02d:%02d.%06dZ",
	    (long long)year, (int)month, (int)(doy - (153 * mp + 2) / 5 + 1),
	    (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60), (int)us);
	return out;
}
