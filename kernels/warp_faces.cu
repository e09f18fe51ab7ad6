// Faces cut out of NV12 or P016 by affine maps, without a full RGB picture.
//
//   (u, v) = A_f (x, y, 1);  out[f, y, x] = round(sum over the four pixels about (u, v) of w . round(rgb)), 0 outside
//
// A leads from the crop to the displayed picture. Pixels are rounded to 8 bits before they are mixed, as in a picture
// converted first. One thread a pixel of a crop; coordinates in double: 4,000 columns leave a float 2e-4 of a pixel.
#include "frame.cuh"

extern "C" __global__ void warp_faces(const Frame* frames, const int* which, const double* maps, unsigned char* out,
                                      int faces, int size) {
    int at = blockIdx.x * blockDim.x + threadIdx.x, face = blockIdx.y;
    if (at >= size * size) return;
    int x = at % size, y = at / size;
    const double* a = maps + face * 6;
    const Frame& frame = frames[which[face]];
    double u = a[0] * x + a[1] * y + a[2], v = a[3] * x + a[4] * y + a[5];
    float sum[3] = {0.0f, 0.0f, 0.0f};
    // Far outside, the whole number would not fit an int.
    if (u > -1.0 && v > -1.0 && u < frame.shown_width && v < frame.shown_height) {
        int left = (int)floor(u), top = (int)floor(v);
        float right_share = (float)(u - left), low_share = (float)(v - top);
        for (int k = 0; k < 4; ++k) {
            int px = left + (k & 1), py = top + (k >> 1);
            float w = (k & 1 ? right_share : 1.0f - right_share) * (k >> 1 ? low_share : 1.0f - low_share);
            if (w == 0.0f || px < 0 || py < 0 || px >= frame.shown_width || py >= frame.shown_height) continue;
            Rgb value = rgb_at(frame, px, py, frame.shown_width, frame.shown_height, false);
            sum[0] += w * rintf(value.red);
            sum[1] += w * rintf(value.green);
            sum[2] += w * rintf(value.blue);
        }
    }
    unsigned char* pixel = out + ((long long)face * size * size + at) * 3;
    for (int c = 0; c < 3; ++c) pixel[c] = (unsigned char)rintf(clipped(sum[c]));
}
