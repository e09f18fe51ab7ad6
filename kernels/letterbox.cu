// Frames to a detector's input: resized, padded, normalised, in one pass from NV12 or P016.
//
//   out[n, c, y, x] = (rgb_n(x, y)[c] - mean[c]) * scale   for x < width, y < height; 0 in the padding
//
// mean and planes in RGB order, or BGR where rgb is 0. One thread an output pixel: its three planes are written in order.
#include "frame.cuh"

extern "C" __global__ void letterbox(const Frame* frames, const float* mean, float* out, int n, int height, int width,
                                     int padded_height, int padded_width, float scale, int rgb) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= padded_width || y >= padded_height) return;
    long long plane = (long long)padded_height * padded_width;
    float* pixel = out + blockIdx.z * 3 * plane + (long long)y * padded_width + x;
    if (x >= width || y >= height) {
        pixel[0] = pixel[plane] = pixel[2 * plane] = 0.0f;
        return;
    }
    Rgb value = rgb_at(frames[blockIdx.z], x, y, width, height, true);
    pixel[0] = ((rgb ? value.red : value.blue) - mean[0]) * scale;
    pixel[plane] = (value.green - mean[1]) * scale;
    pixel[2 * plane] = ((rgb ? value.blue : value.red) - mean[2]) * scale;
}
