package agent

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// watchLinks sends whenever interfaces came, went or changed; many changes may be
// one. The kernel tells over netlink (rtnetlink(7), group link).
func watchLinks(ctx context.Context) (<-chan struct{}, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watch interfaces: %w", err)
	}
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch interfaces: %w", err)
	}
	changed := make(chan struct{}, 1)
	go func() {
		defer unix.Close(fd)
		b := make([]byte, 65536)
		for ctx.Err() == nil {
			_, _, err := unix.Recvfrom(fd, b, 0)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				continue
			}
			// An overrun (ENOBUFS) is a change as well: something was missed.
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
}

// monotonic is the programs' clock, in nanoseconds.
func monotonic() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return uint64(ts.Nano())
}
