// Small frames for the shot detector: resized by area from NV12 or P016.
//
//   out[n, y, x] = round(blue, green, red of frame n at (x, y))
//
// One thread a pixel.
#include "frame.cuh"

extern "C" __global__ void thumbnails(const Frame* frames, unsigned char* out, int n, int height, int width) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    Rgb value = rgb_at(frames[blockIdx.z], x, y, width, height, true);
    unsigned char* pixel = out + (((long long)blockIdx.z * height + y) * width + x) * 3;
    pixel[0] = (unsigned char)rintf(value.blue);
    pixel[1] = (unsigned char)rintf(value.green);
    pixel[2] = (unsigned char)rintf(value.red);
}
