/*
 * sanitizer -- which sanitizer the compiler builds in: gcc and clang say it in
 * different ways. WITH_ASAN, WITH_TSAN: defined when it does.
 */
#ifndef OMNI2_BASE_SANITIZER_H
#define OMNI2_BASE_SANITIZER_H

#ifndef __has_feature
#define __has_feature(x)	0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define WITH_ASAN	1
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define WITH_TSAN	1
#endif

#endif
