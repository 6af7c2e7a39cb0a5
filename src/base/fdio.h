/*
 * fdio -- small helpers around file descriptors: flags, full writes, passing.
 */
#ifndef OMNI2_BASE_FDIO_H
#define OMNI2_BASE_FDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

int	fdio_set_nonblock(int fd, bool on);
int	fdio_set_cloexec(int fd, bool on);
/* Writes all, through EINTR and short writes. 0, or -1 with errno. */
int	fdio_write_all(int fd, const void *, size_t);
/* Reads a whole small file. Returns bytes (NUL added), or -1 with errno;
 * EFBIG when larger than size - 1. */
ssize_t	fdio_read_file(const char *path, char *out, size_t size);
/* Waits until readable/writable (POLLIN/POLLOUT) or the deadline (monotonic
 * ms; -1 = forever). 1 ready, 0 deadline, -1 errno (EINTR is passed on). */
int	fdio_wait(int fd, short events, int64_t deadline_ms);

/* One SEQPACKET/DGRAM/STREAM message with an fd (or -1). As sendmsg(2). */
ssize_t	fdpass_send(int sock, const void *, size_t, int fd, int flags);
/* *fd gets the descriptor (close-on-exec) or -1. As recvmsg(2). */
ssize_t	fdpass_recv(int sock, void *, size_t, int *fd, int flags);

#endif
