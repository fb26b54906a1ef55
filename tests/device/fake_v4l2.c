/* A V4L2 camera for tests, preloaded into the process that reads it: gcc -shared -fPIC.
 *
 * It is /dev/video77: 640x480 YUYV, 30 frames a second, with noise. The folder FAKE_CAMERA says
 * what it does: `starts` gets a letter at each open. With the file `hang` the first open delivers
 * 20 frames and then blocks for ever; with `unplug` it then is gone, until `unplug` is deleted.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 640, HEIGHT = 480, SIZE = WIDTH * HEIGHT * 2, MOST = 4, GOOD = 20 };
static const char *DEVICE = "/dev/video77";
static const long PERIOD_NS = 33333333;

static int handle = -1, waiting[MOST], num_waiting, num_frames, first_open;
static unsigned char *memory;
static unsigned noise = 1;
static struct timespec due;

static const char *place(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("FAKE_CAMERA"), name);
    return path;
}

static int is_there(const char *name) { return access(place(name), F_OK) == 0; }

static int open_device(void) {
    FILE *starts;
    if (is_there("unplug") && is_there("starts")) { errno = ENODEV; return -1; }
    first_open = !is_there("starts");
    if ((starts = fopen(place("starts"), "a"))) { fputc('s', starts); fclose(starts); }
    handle = memfd_create("fake_v4l2", 0);
    if (ftruncate(handle, (off_t)SIZE * MOST)) return -1;
    memory = mmap(NULL, (size_t)SIZE * MOST, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    num_waiting = num_frames = 0;
    return handle;
}

#define OPEN(NAME)                                                      \
    int NAME(const char *path, int flags, ...) {                        \
        static int (*real)(const char *, int, ...);                     \
        va_list more;                                                   \
        int mode = 0;                                                   \
        if (!strcmp(path, DEVICE))        return open_device();        \
        va_start(more, flags);                                          \
        if (flags & (O_CREAT | O_TMPFILE)) mode = va_arg(more, int);    \
        va_end(more);                                                   \
        if (!real) real = dlsym(RTLD_NEXT, #NAME);                      \
        return real(path, flags, mode);                                 \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    static int (*real)(int);
    if (fd >= 0 && fd == handle) { munmap(memory, (size_t)SIZE * MOST); handle = -1; }
    if (!real) real = dlsym(RTLD_NEXT, "close");
    return real(fd);
}

static int take_buffer(struct v4l2_buffer *buffer) {
    unsigned char *picture;
    int k;
    if (first_open && num_frames >= GOOD) {
        while (is_there("hang")) pause();
        if (is_there("unplug")) { errno = ENODEV; return -1; }
    }
    if (!num_waiting) { errno = EINVAL; return -1; }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    clock_gettime(CLOCK_MONOTONIC, &due);
    buffer->timestamp.tv_sec = due.tv_sec;
    buffer->timestamp.tv_usec = due.tv_nsec / 1000;
    due.tv_nsec += PERIOD_NS;
    if (due.tv_nsec >= 1000000000) { due.tv_nsec -= 1000000000; due.tv_sec++; }
    buffer->index = waiting[0];
    memmove(waiting, waiting + 1, sizeof *waiting * --num_waiting);
    picture = memory + (size_t)buffer->index * SIZE;
    for (k = 0; k < SIZE; k += 2) {
        noise = noise * 1664525u + 1013904223u;
        picture[k] = 40 + k / 2 % WIDTH / 4 + (noise >> 29);
        picture[k + 1] = 128;
    }
    buffer->bytesused = buffer->length = SIZE;
    buffer->m.offset = buffer->index * SIZE;
    buffer->sequence = num_frames++;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    return 0;
}

static int answer(unsigned request, void *data) {
    struct v4l2_capability *can = data;
    struct v4l2_format *format = data;
    struct v4l2_buffer *buffer = data;
    switch (request) {
    case VIDIOC_QUERYCAP:
        memset(can, 0, sizeof *can);
        strcpy((char *)can->driver, "fake");
        strcpy((char *)can->card, "fake camera");
        can->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        can->capabilities = can->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    case VIDIOC_G_FMT: case VIDIOC_S_FMT: case VIDIOC_TRY_FMT:
        format->fmt.pix.width = WIDTH;
        format->fmt.pix.height = HEIGHT;
        format->fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
        format->fmt.pix.field = V4L2_FIELD_NONE;
        format->fmt.pix.bytesperline = WIDTH * 2;
        format->fmt.pix.sizeimage = SIZE;
        return 0;
    case VIDIOC_G_INPUT: *(int *)data = 0; return 0;
    case VIDIOC_S_INPUT: case VIDIOC_STREAMOFF: num_waiting = 0; return 0;
    case VIDIOC_G_PARM: case VIDIOC_S_PARM: {
        struct v4l2_streamparm *parm = data;
        parm->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        parm->parm.capture.timeperframe.numerator = 1;
        parm->parm.capture.timeperframe.denominator = 30;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *wanted = data;
        if (wanted->count > MOST) wanted->count = MOST;
        return 0;
    }
    case VIDIOC_QUERYBUF:
        if (buffer->index >= MOST) break;
        buffer->length = SIZE;
        buffer->m.offset = buffer->index * SIZE;
        return 0;
    case VIDIOC_QBUF:
        if (buffer->index >= MOST || num_waiting == MOST) break;
        waiting[num_waiting++] = buffer->index;
        return 0;
    case VIDIOC_STREAMON: clock_gettime(CLOCK_MONOTONIC, &due); return 0;
    case VIDIOC_DQBUF: return take_buffer(buffer);
    }
    errno = EINVAL;
    return -1;
}

int ioctl(int fd, unsigned long request, ...) {
    static int (*real)(int, unsigned long, ...);
    va_list more;
    void *data;
    va_start(more, request);
    data = va_arg(more, void *);
    va_end(more);
    if (fd >= 0 && fd == handle) return answer((unsigned)request, data);
    if (!real) real = dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, data);
}
